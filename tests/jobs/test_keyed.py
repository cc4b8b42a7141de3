"""Turns by key: so many at a time, in their order, and nothing is left of who has gone."""

import asyncio
import random

from server.jobs.keyed import KeyedSemaphore


def test_the_lowest_order_goes_first_and_keys_do_not_wait_for_each_other() -> None:
    async def main() -> list[str]:
        gates: KeyedSemaphore[str] = KeyedSemaphore(1)
        seen, hold = [], asyncio.Event()

        async def pass_by(key: str, name: str, order: float) -> None:
            async with gates.enter(key, order):
                seen.append(name)
                if name == "first":
                    await hold.wait()

        tasks = [asyncio.create_task(pass_by("a", "first", 9.0))]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(pass_by("a", name, order))
                  for name, order in (("late", 3.0), ("early", 1.0), ("early too", 1.0))]
        tasks += [asyncio.create_task(pass_by("b", "other", 99.0))]
        await asyncio.sleep(0.01)
        assert seen == ["first", "other"]
        hold.set()
        await asyncio.gather(*tasks)
        assert not gates._inside
        assert not gates._waiting
        return seen

    assert asyncio.run(main()) == ["first", "other", "early", "early too", "late"]


def test_who_gives_up_leaves_its_place_to_others() -> None:
    async def main() -> None:
        chance = random.Random(1)
        gates: KeyedSemaphore[str] = KeyedSemaphore(2)
        inside = most = 0

        async def pass_by() -> None:
            nonlocal inside, most
            async with gates.enter("a", chance.random()):
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(chance.random() / 1000)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(pass_by()) for _ in range(300)]
        for task in chance.sample(tasks, 150):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        assert (inside, most) == (0, 2)
        assert not gates._inside
        assert not gates._waiting

    asyncio.run(main())
