"""Places that callers share, and uploads that hold them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.sharing import caller_of, network_of
from server.config import load
from server.errors import ServerBusy
from server.sharing import SharedPlaces

from .fakes import FakeJobs, app_of

HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="song.wav"\r\n\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=B"}


def most(places: SharedPlaces, caller: str) -> int:
    """How many places a caller gets that takes all it can."""
    for taken in range(10_000):
        try:
            places.take(caller)
        except ServerBusy:
            return taken
    raise AssertionError("no end")


def test_one_caller_takes_half_and_each_further_one_finds_some() -> None:
    places = SharedPlaces(1000, "x")
    shares = [most(places, f"caller {number}") for number in range(9)]
    assert shares == [500, 250, 125, 63, 31, 16, 8, 4, 2]
    places.leave("caller 0")
    assert most(places, "caller 0") == 0, "who has more than is left gets no more"
    assert most(places, "caller 9") == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=200), st.integers(2, 20))
def test_what_is_taken_and_left_is_counted(steps: list[tuple[int, bool]], total: int) -> None:
    places, held = SharedPlaces(total, "x"), [0] * 6
    for caller, takes in steps:
        if takes:
            allowed = held[caller] < total - sum(held)
            try:
                places.take(str(caller))
            except ServerBusy:
                assert not allowed
            else:
                assert allowed
                held[caller] += 1
        elif held[caller]:
            places.leave(str(caller))
            held[caller] -= 1
        assert sum(held) <= total
    assert +places._taken == {str(n): count for n, count in enumerate(held) if count}


@pytest.mark.parametrize(("host", "network"), [
    ("10.1.2.3", "10.1.2.3"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"), ("::ffff:10.1.2.3", "10.1.2.3"),
    ("testclient", "testclient"), ("", ""),
])  # fmt: skip
def test_whose_addresses_are_one_callers(host: str, network: str) -> None:
    assert network_of(host) == network
    assert caller_of({"client": (host, 5)}) == network
    assert caller_of({"client": (host, 5)}, "ann") == "ann"


def test_slow_uploads_of_one_caller_leave_places_for_others(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path)
    app = app_of(load(environ={}, flags={"limits.max_uploads": 8}), jobs)

    async def main() -> None:
        done = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield HEAD + b"song"
            await done.wait()
            yield b"\r\n--B--\r\n"

        def client(host: str) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app, client=(host, 1))
            return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=20)

        async with client("10.0.0.1") as greedy, client("10.0.0.2") as other:
            slow = [
                asyncio.create_task(greedy.post("/process", content=slowly(), headers=FORM))
                for _ in range(4)
            ]
            while len(list(jobs.spool.iterdir() if jobs.spool.exists() else [])) < 4:
                await asyncio.sleep(0.01)
            whole = HEAD + b"song\r\n--B--\r\n"
            refused = await greedy.post("/process", content=whole, headers=FORM)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.json() == {"detail": "Too many uploads are on their way in; try again "
                                                "later"}
            for path in ("/health", "/config"):
                assert (await greedy.get(path)).status_code == 200
            assert (await other.post("/process", content=whole, headers=FORM)).status_code == 200
            done.set()
            assert {answer.status_code for answer in await asyncio.gather(*slow)} == {200}
            again = await greedy.post("/process", content=whole, headers=FORM)
            assert again.status_code == 200, "a place that was left is free again"
            assert set(jobs.callers) == {"10.0.0.1", "10.0.0.2"}

    asyncio.run(main())


def test_a_demo_takes_a_place_as_an_upload_does(tmp_path: Path) -> None:
    jobs = FakeJobs(tmp_path)
    app = app_of(load(environ={}, flags={"limits.max_uploads": 2}), jobs)

    async def main() -> None:
        go, reserve = asyncio.Event(), jobs.reserve

        async def slowly(size: int, caller: str) -> tuple[str, Path]:
            await go.wait()
            return await reserve(size, caller)

        jobs.reserve = slowly  # type: ignore[method-assign]
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            first = asyncio.create_task(client.post("/demo"))
            await asyncio.sleep(0.05)
            assert (await client.post("/demo")).status_code == 503
            go.set()
            assert (await first).status_code == 200
            assert (await client.post("/demo")).status_code == 200

    asyncio.run(main())
