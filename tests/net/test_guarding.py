"""U1: no connection is attempted to what must not be called, whatever its spelling. U2: nor to
what a name means the second time it is asked for.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from server.errors import AddressForbidden, StemboxError, Unreachable
from server.net import Guard, GuardedClient, addresses, connecting
from server.net.resolver import Resolver
from tests.net.places import LOCAL, fetch, guarded, ok, says, serving
from tests.net.vectors import HOSTS, NAMES, URLS

FROM_HOSTS = [(kind, host) for kind, hosts in HOSTS.items() for host in hosts]
FROM_URLS = [url for urls in URLS.values() for url in urls]


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets were told to connect to; only loopback is let through."""
    seen: list[str] = []
    real = socket.socket.connect

    def connect(sock: socket.socket, address: tuple) -> None:
        asks = sock.type == socket.SOCK_DGRAM  # which address would be used: nothing is sent
        if sock.family in (socket.AF_INET, socket.AF_INET6) and not asks:
            seen.append(address[0])
            if address[0] not in ("127.0.0.1", "::1"):
                raise ConnectionRefusedError
        real(sock, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return seen


async def table(host: str, port: int) -> list[str]:
    """A resolver that knows NAMES and ordinary addresses for everything else."""
    names = {name.lower().removesuffix("."): found for name, found in NAMES.items()}
    names["xn--bcher-kva.example"] = names["bücher.example"]
    return names.get(host, ["93.184.215.14"])


def outcome(client: GuardedClient, url: str, target: Path) -> type[StemboxError] | None:
    """What calling the URL in both ways raises: the same, as it must be."""
    raised = []
    for call in (fetch(client, url, target), client.post(url, b"", {}, 30.0)):
        try:
            asyncio.run(call)
            raised.append(None)
        except StemboxError as error:
            raised.append(type(error))
    assert raised[0] is raised[1]
    return raised[0]


def test_there_are_enough_vectors() -> None:
    assert len(set(FROM_HOSTS)) + len(set(FROM_URLS)) + len(NAMES) >= 120


@pytest.mark.parametrize(("kind", "host"), FROM_HOSTS)
def test_hosts_that_are_never_called(kind: str, host: str, connects: list, tmp_path: Path) -> None:
    client = guarded(Guard(), table)
    for url in (f"http://{host}/x", f"https://{host}:8443/", f"http://{host}:22"):
        with pytest.raises(AddressForbidden):
            client.check_url(url)
    assert outcome(client, f"http://{host}:8080/x", tmp_path / "f") is AddressForbidden
    assert connects == []


@pytest.mark.parametrize(("kind", "said"), [("user name", "user name"), ("scheme", "http")])
def test_why_a_url_is_not_called(kind: str, said: str) -> None:
    for url in URLS[kind]:
        with pytest.raises(AddressForbidden, match=said):
            guarded().check_url(url)


@pytest.mark.parametrize("url", FROM_URLS, ids=ascii)
def test_urls_that_are_never_called(url: str, connects: list, tmp_path: Path) -> None:
    client = guarded(LOCAL, table)  # even where loopback is allowed
    with pytest.raises(AddressForbidden):
        client.check_url(url)
    assert outcome(client, url, tmp_path / "f") is AddressForbidden
    assert connects == []


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_where_they_must_not(name: str, connects: list, tmp_path: Path) -> None:
    client = guarded(Guard(), table)
    client.check_url(f"http://{name}/")  # nothing can be said yet
    assert outcome(client, f"http://{name}/", tmp_path / "f") is AddressForbidden
    assert connects == []


def test_a_listener_on_loopback_sees_nothing_of_all_this(tmp_path: Path) -> None:
    """With the system's own resolver, and a listener behind every spelling of loopback."""
    spellings = ["localhost", "LOCALHOST.", *(host for _, host in FROM_HOSTS)]

    async def main() -> None:
        async with serving(says(ok(b"inside"))) as server:
            shut, opened = guarded(Guard()), guarded()
            for host in spellings:
                with pytest.raises(AddressForbidden):
                    await fetch(shut, f"http://{host}:{server.port}/", tmp_path / "f")
            assert server.connections == 0
            for host in ("127.0.0.1", "127.1", "0x7f.1", "[::ffff:127.0.0.1]"):
                await fetch(opened, f"http://{host}:{server.port}/", tmp_path / "f")
            assert server.connections == 4  # the listener does see what is let through

    asyncio.run(main())


def test_a_guard_that_trusts_is_global_is_found_out(
    monkeypatch: pytest.MonkeyPatch, connects: list, tmp_path: Path
) -> None:
    monkeypatch.setattr(addresses, "forbidden", lambda address: not address.is_global)
    client = guarded(Guard(), table)
    slipped = {
        kind for kind, host in FROM_HOSTS
        if outcome(client, f"http://{host}:8080/", tmp_path / "f") is not AddressForbidden
    }  # fmt: skip
    assert {"multicast", "NAT64", "site-local", "compatible", "ISATAP"} <= slipped
    assert "64:ff9b::a9fe:a9fe" in connects
    assert "loopback" not in slipped


FAMILIES = [
    *((name, str(network)) for name in ("SPECIAL_V4", "SPECIAL_V6")
      for network in getattr(addresses, name)),
    ("UNICAST", "all of IPv6"), ("ISATAP", "tunnels"),
]  # fmt: skip


@pytest.mark.parametrize(("table_name", "forgotten"), FAMILIES)
def test_a_guard_that_forgets_one_family_is_found_out(
    table_name: str, forgotten: str, monkeypatch: pytest.MonkeyPatch, connects: list, tmp_path: Path
) -> None:
    """The planted bug, once for each family: some of the hosts that are never called are."""
    known = getattr(addresses, table_name)
    fewer: object = ()
    if table_name == "UNICAST":
        fewer = IPv6Network("::/0")
    elif table_name != "ISATAP":
        fewer = tuple(network for network in known if str(network) != forgotten)
        assert len(fewer) == len(known) - 1
    client = guarded(Guard(), table)
    monkeypatch.setattr(connecting, "is_own", lambda _: False)  # which is another guard's matter
    monkeypatch.setattr(addresses, table_name, fewer)
    slipped = [host for _, host in FROM_HOSTS
               if outcome(client, f"http://{host}:8080/", tmp_path / "f") is Unreachable]
    assert slipped != [] and connects != []


@pytest.mark.parametrize("text", ["0x7f.1", "017700000001", "2130706433", "127.1", "localhost"])
def test_what_the_system_reads_as_loopback_is_judged_as_such(text: str) -> None:
    """Were such a text ever passed on as a name, the answer would still be judged."""
    assert asyncio.run(Resolver()(text, 80))[0] in ("127.0.0.1", "::1")


def rebinding(*answers: list[str]) -> Callable:
    """A resolver that says something else each time; the last for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def test_a_name_that_turns_private_is_asked_once_and_then_refused(
    connects: list, tmp_path: Path
) -> None:
    async def main() -> None:
        client = guarded(Guard(), rebinding(["93.184.215.14"], ["127.0.0.1"]))
        with pytest.raises(Unreachable):
            await fetch(client, "http://turning.example/", tmp_path / "f")
        assert connects == ["93.184.215.14"]  # the very address that was judged
        with pytest.raises(AddressForbidden):
            await fetch(client, "http://turning.example/", tmp_path / "f")
        assert connects == ["93.184.215.14"]

    asyncio.run(main())


def test_a_name_that_turns_private_between_redirects(connects: list, tmp_path: Path) -> None:
    async def main() -> None:
        again = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
        async with serving(says(again)) as server:
            client = guarded(LOCAL, rebinding(["127.0.0.1"], ["10.0.0.1"]))
            with pytest.raises(AddressForbidden):
                await fetch(client, f"http://turning.example:{server.port}/", tmp_path / "f")
            assert connects == ["127.0.0.1"]
            assert len(server.calls) == 1

    asyncio.run(main())


def test_own_ports_are_shut_on_every_address_of_this_machine(
    connects: list, tmp_path: Path
) -> None:
    async def main() -> None:
        async with serving(says(ok(b"x"))) as server:
            guard = Guard.of(["0.0.0.0/0", "::/0"], server.port)
            for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "[::ffff:127.0.0.1]", "localhost"):
                with pytest.raises(AddressForbidden):
                    await fetch(
                        guarded(guard), f"http://{host}:{server.port}/", tmp_path / "f"
                    )
            assert connects == []
            other = guarded(Guard.of(["127.0.0.0/8"], server.port + 1))
            await fetch(other, server.url, tmp_path / "f")
            with pytest.raises(Unreachable):  # the same port elsewhere is nobody's but theirs
                await fetch(guarded(guard), f"http://192.0.2.1:{server.port}", tmp_path / "f")
            assert connects == ["127.0.0.1", "192.0.2.1"]

    asyncio.run(main())


def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, connects: list, tmp_path: Path
) -> None:
    async def main() -> None:
        async with serving(says(ok(b"proxy"))) as proxy:
            for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            with suppress(Unreachable):
                await fetch(guarded(Guard()), "http://8.8.8.8/", tmp_path / "f")
            assert connects == ["8.8.8.8"]
            assert proxy.connections == 0

    asyncio.run(main())


def test_an_address_of_this_machine_is_not_called_for_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by its name, nor for a webhook: no connection comes."""
    async def inside(host: str, port: int) -> list[str]:
        return ["127.0.0.5"]

    async def main() -> None:
        async with serving(says(ok(b"secret"))) as server:
            guard = Guard.of(["127.0.0.0/30"])  # 127.0.0.5 counts as public here
            monkeypatch.setattr(addresses, "SPECIAL_V4", ())
            client = guarded(guard, inside)
            for host in ("127.0.0.5", "inside"):
                url = f"http://{host}:{server.port}/"
                with pytest.raises(AddressForbidden):
                    await fetch(client, url, tmp_path / "f")
                with pytest.raises(AddressForbidden):
                    await client.post(url, b"{}", {}, 5.0)
            assert server.connections == 0
            await fetch(client, server.url, tmp_path / "f")

    asyncio.run(main())
