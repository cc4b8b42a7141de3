"""X-Forwarded-For is believed from configured proxies alone."""

import asyncio
from typing import Any

import httpx
import pytest

from server.api.edge.proxies import client_of
from server.config import Config, load
from server.errors import ConfigError
from server.net.addresses import parse_networks

from .fakes import FakeJobs, app_of

PROXIES = parse_networks(["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"], "server.trusted_proxies")


@pytest.mark.parametrize(("peer", "forwarded", "client"), [
    ("127.0.0.1", "", "127.0.0.1"),
    ("127.0.0.1", "9.9.9.9", "9.9.9.9"),
    ("9.9.9.9", "1.1.1.1", "9.9.9.9"),  # no proxy of ours
    ("127.0.0.1", "1.1.1.1, 9.9.9.9", "9.9.9.9"),  # the first one is what the client wrote
    ("127.0.0.1", "1.1.1.1, 9.9.9.9, 10.1.2.3", "9.9.9.9"),
    ("127.0.0.1", "10.0.0.1,10.0.0.2", "10.0.0.1"),  # somebody of our own network
    ("127.0.0.1", "1.1.1.1, unknown", "127.0.0.1"),
    ("127.0.0.1", "1.1.1.1, unknown, 10.0.0.1", "10.0.0.1"),
    ("127.0.0.1", "9.9.9.9:4711", "9.9.9.9"), ("127.0.0.1", "[2600::1]:47", "2600::1"),
    ("127.0.0.1", "2600::1", "2600::1"), ("127.0.0.1", "::ffff:9.9.9.9", "9.9.9.9"),
    ("::ffff:127.0.0.1", "9.9.9.9", "9.9.9.9"), ("fd00::1", "9.9.9.9", "9.9.9.9"),
    ("127.0.0.1", "9.9.9.9\n", "9.9.9.9"), ("127.0.0.1", "1.1.1.1, ,9.9.9.9", "9.9.9.9"),
    ("127.0.0.1", "9.9.9.9" + ",10.0.0.1" * 31, "9.9.9.9"),
    ("127.0.0.1", "9.9.9.9" + ",10.0.0.1" * 32, "10.0.0.1"),  # the way is too long
    ("", "9.9.9.9", ""), ("127.0.0.1", "é, <script>", "127.0.0.1"),
])  # fmt: skip
def test_the_caller_is_whom_the_last_trusted_proxy_saw(
    peer: str, forwarded: str, client: str
) -> None:
    assert client_of(peer, forwarded.split(","), PROXIES) == client
    if peer != client or not forwarded:
        assert client_of(peer, forwarded.split(","), ()) == peer, "by default nobody is believed"


def limited(**flags: Any) -> Config:
    return load(environ={}, flags={"pipeline.requests_per_minute": 2} | flags)


def statuses(config: Config, jobs: FakeJobs, *headers: Any) -> list[int]:
    """Of requests from loopback, one for each set of headers."""
    async def main() -> list[int]:
        transport = httpx.ASGITransport(app_of(config, jobs))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            return [(await client.get("/config", headers=h)).status_code for h in headers]

    return asyncio.run(main())


def test_a_header_makes_no_new_caller(jobs: FakeJobs) -> None:
    """Who sits on this machine, or behind a proxy that passes the header on, had no limit."""
    headers = [{"X-Forwarded-For": f"9.9.9.{n}"} for n in range(4)]
    assert statuses(limited(), jobs, *headers) == [200, 200, 429, 429]


def test_behind_a_proxy_each_caller_has_a_limit(jobs: FakeJobs) -> None:
    config = limited(**{"server.trusted_proxies": ["127.0.0.1"]})
    told = [{"X-Forwarded-For": f"9.9.9.{n}"} for n in (1, 1, 1, 2)]
    assert statuses(config, jobs, *told) == [200, 200, 429, 200]
    forged = [[("X-Forwarded-For", f"1.1.1.{n}"), ("X-Forwarded-For", "9.9.9.9")]
              for n in range(3)]
    assert statuses(config, jobs, *forged) == [200, 200, 429], "two lines are one list"


def test_a_network_that_is_none_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"server\.trusted_proxies"):
        load(environ={"STEMBOX_SERVER__TRUSTED_PROXIES": "10.0.0.0/8, nginx"})
