"""Endpoints that hang keep from others nothing but their own share."""

import asyncio
from collections.abc import Awaitable

import pytest
from msgspec import structs

from server.jobs.webhooks import sending as module
from store.hosts import host_of
from store.lanes import ACCOUNTS, NOBODYS, Rotation
from tests.jobs.webhooks.playing import World
from tests.jobs.webhooks.playing import play as play


def test_a_slow_endpoint_delays_nobody(play) -> None:
    """W3: one endpoint hangs with a long queue of its own; the other is told all the same."""

    async def test(world: World) -> None:
        await world.webhook("slow")
        await world.webhook("quick")
        for _ in range(30):
            await world.job_ends()
        calls = world.client.calls
        await world.settle(lambda: sum(url == "http://quick" for url, _, _ in calls) == 30)
        assert sum(url == "http://slow" for url, _, _ in calls) == module.PER_ENDPOINT

    play(test, lambda url, number: asyncio.Event().wait() if url == "http://slow" else 200)


HANGS = "http://hostile"


def hanging(url: str, number: int) -> int | Awaitable:
    return asyncio.Event().wait() if HANGS in url else 200


def test_hostile_callbacks_of_nobody_delay_no_honest_ones(play) -> None:
    """Each to an address of its own, which the limit for one endpoint does not see."""

    async def test(world: World) -> None:
        for number in range(60):
            await world.job_ends(callback=f"{HANGS}:{number}/{number}", name=None)
        for number in range(20):
            await world.job_ends(callback=f"http://honest/{number}", name=None)
        calls = world.client.calls
        await world.settle(lambda: sum("honest" in url for url, _, _ in calls) == 20)
        assert sum(HANGS in url for url, _, _ in calls) == module.SHARES.per_host

    play(test, hanging)


def test_hostile_hosts_without_number_delay_no_account(play, monkeypatch) -> None:
    """And an honest one of nobody's is among the first of them."""
    monkeypatch.setattr(module, "AT_ONCE", 40)
    monkeypatch.setattr(module, "SHARES", structs.replace(module.SHARES, of_nobody=20))

    async def test(world: World) -> None:
        await world.webhook("quick")
        for number in range(15):
            for turn in range(3):
                await world.job_ends(callback=f"{HANGS}-{number}.example/{turn}", name=None)
        await world.job_ends(callback="http://honest/", name=None)
        for _ in range(10):
            await world.job_ends()
        calls = world.client.calls
        await world.settle(
            lambda: (
                sum(url == "http://quick" for url, _, _ in calls) == 10
                and any("honest" in url for url, _, _ in calls)
            )
        )
        assert sum(HANGS in url for url, _, _ in calls) <= 20

    play(test, hanging)


def test_a_host_that_hangs_for_one_account_delays_neither_others_nor_its_own_rest(play) -> None:
    async def test(world: World) -> None:
        for number in range(30):
            await world.job_ends(callback=f"{HANGS}/{number}", name="bob")
        await world.job_ends(callback="http://other/", name="bob")
        await world.job_ends(callback=f"{HANGS}/ann", name="ann")
        calls = world.client.calls
        wanted = {"http://other/", f"{HANGS}/ann"}
        await world.settle(lambda: wanted <= {url for url, _, _ in calls})
        assert sum(HANGS in url for url, _, _ in calls) == module.SHARES.per_host + 1

    play(test, hanging)


def test_hosts_that_hang_keep_their_share_over_all_looks(play, monkeypatch) -> None:
    """More of them than a look goes into: what is under way in other lanes counts all the same."""
    monkeypatch.setattr(module, "NEXT_LOOK", 0.01)
    monkeypatch.setattr(module, "SHARES", structs.replace(module.SHARES, of_nobody=5))

    async def test(world: World) -> None:
        world.hooks._lanes = (Rotation(*NOBODYS, most=2), Rotation(*ACCOUNTS, most=2))
        await world.webhook("quick")
        for number in range(12):
            await world.job_ends(callback=f"{HANGS}-{number}.example/", name=None)
        calls = world.client.calls
        for _ in range(6):
            await world.job_ends()
        await world.settle(
            lambda: (
                sum(url == "http://quick" for url, _, _ in calls) == 6
                and sum(HANGS in url for url, _, _ in calls) >= 5
            )
        )
        assert sum(HANGS in url for url, _, _ in calls) == 5

    play(test, hanging)


@pytest.mark.parametrize(
    "url",
    [
        "http://Host/a",
        "https://host:8443/b",
        "http://host./c",
        "HTTP://HOST:1",
        "http://host?d",
    ],
)
def test_spellings_of_one_host(url: str) -> None:
    assert host_of(url) == "host"
    assert host_of("http://[::1]:80/") == "::1"
    assert host_of("http://[") == "http://[" and host_of(None) == ""
