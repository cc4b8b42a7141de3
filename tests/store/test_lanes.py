"""What is due, however much waits: a few of each lane, and of very many lanes some at a time."""

import asyncio
import sqlite3
from pathlib import Path

from store import AccountRepository, Database, WebhookRepository
from store.hosts import LANES, lane_of
from store.lanes import ACCOUNTS, NOBODYS, Rotation
from store.webhooks import Shares, Webhook

SHARES = Shares(per_endpoint=4, per_host=8, per_account=16, of_nobody=256)


def outbox(db: sqlite3.Connection, account: str | None, urls: list[str], of: str) -> None:
    """Ended jobs with callbacks that are due, in this order."""
    for number, url in enumerate(urls):
        job = f"{of}{number}"
        db.execute("INSERT INTO jobs (id, api, state, options, created_at, completed_at,"
                   " account_id, callback_url, callback_lane)"
                   " VALUES (?, 'pipeline', 'completed', '{}', 1, 2, ?, ?, lane_of(?))",
                   (job, account, url, url))  # fmt: skip
        db.execute("INSERT INTO deliveries (id, account_id, job_id, event, next_at, created_at)"
                   " VALUES (?, ?, ?, 'job.completed', ?, 1)", (f"m{job}", account, job, number))


async def steps_of_a_look(path: Path, waiting: int) -> tuple[int, int]:
    """Steps of SQLite's machine, and how many are to be sent, with so many behind one host."""
    async with Database(path) as db:
        hooks = WebhookRepository(db)
        ann = await AccountRepository(db).ensure("ann", 1.0)
        await db.write(outbox, ann, [f"http://slow/{n % 3}" for n in range(waiting)], "a")
        await db.write(outbox, ann, ["http://quick/"], "b")
        await db.write(outbox, None, [f"http://slow/{n}" for n in range(waiting)], "n")
        steps = 0

        def tick() -> int:
            nonlocal steps
            steps += 1
            return 0

        await db.read(lambda c: c.set_progress_handler(tick, 1))
        due = await hooks.due(1e6, SHARES)
        assert not hooks.more
        assert "mb0" in {delivery.id for delivery in due}
        return steps, len(due)


def test_a_backlog_makes_no_look_longer(tmp_path: Path) -> None:
    few, sent = asyncio.run(steps_of_a_look(tmp_path / "few.db", 600))
    many, also = asyncio.run(steps_of_a_look(tmp_path / "many.db", 6000))
    assert sent == also == 8 + 1 + 8
    assert many <= 1.1 * few


def test_very_many_hosts_are_looked_at_in_turn(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            hooks = WebhookRepository(db)
            hooks._lanes = (Rotation(*NOBODYS, most=3), Rotation(*ACCOUNTS, most=3))
            ann = await AccountRepository(db).ensure("ann", 1.0)
            await hooks.add(Webhook("w", ann, "http://w", ["job.completed"], "s", 1.0), 9)
            await db.write(outbox, None, [f"http://h{n}/" for n in range(8)], "n")
            await db.write(outbox, ann, ["http://own/"], "a")
            await db.write(lambda c: c.execute(
                "INSERT INTO deliveries (id, account_id, job_id, webhook_id, event, next_at,"
                " created_at) VALUES ('mw', ?, 'a0', 'w', 'job.completed', 1, 1)", (ann,)))
            for _ in range(2):  # rounds
                seen: list[str] = []
                for _ in range(3):
                    found = {delivery.id for delivery in await hooks.due(9.0, SHARES)}
                    assert {"mw", "ma0"} <= found, "strangers' hosts delay no account"
                    assert hooks.more
                    seen += found - {"mw", "ma0"}
                assert sorted(seen) == [f"mn{n}" for n in range(8)]

    asyncio.run(main())


def test_a_host_has_a_few_lanes_for_each_account(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            ids = [await AccountRepository(db).ensure(name, 1.0) for name in ("ann", "bob")]
            urls = [f"http://Host:{80 + n}/{n}" for n in range(200)]
            for account, of in zip((None, *ids), "nab", strict=True):
                await db.write(outbox, account, urls, of)
            found = [await db.read(Rotation(*who, most=99).look) for who in (NOBODYS, ACCOUNTS)]
            lanes = {lane_of(url) for url in urls}
            assert 8 < len(lanes) <= LANES and all(lane.startswith("host ") for lane in lanes)
            assert set(found[0]) == {f" {lane}" for lane in lanes}
            assert set(found[1]) == {f"{account} {lane}" for account in ids for lane in lanes}

    asyncio.run(main())


def test_a_look_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            ids = [await AccountRepository(db).ensure(name, 1.0) for name in ("ann", "bob")]
            for account, of in zip(ids, "ab", strict=True):
                await db.write(outbox, account, ["http://host/a"], of)
            rotation = Rotation(*ACCOUNTS, most=1)
            looks = [await db.read(rotation.look) for _ in range(2)]
            lane = lane_of("http://host/a")
            assert sorted(looks[0] + looks[1]) == sorted(f"{account} {lane}" for account in ids)

    asyncio.run(main())


def test_a_url_that_hangs_does_not_hide_its_hosts_others(tmp_path: Path) -> None:
    """Places of the host are free as long as the URL's own four are all that it may have."""

    async def main() -> None:
        async with Database(tmp_path / "t.db") as db:
            honest = next(url for n in range(99) if lane_of(url := f"https://host/{n}")
                          != lane_of("https://host/slow"))  # fmt: skip
            await db.write(outbox, None, ["https://host/slow"] * 40, "s")
            await db.write(outbox, None, [honest], "z")
            found = {delivery.id for delivery in await WebhookRepository(db).due(1e6, SHARES)}
            assert found == {"ms0", "ms1", "ms2", "ms3", "mz0"}

    asyncio.run(main())
