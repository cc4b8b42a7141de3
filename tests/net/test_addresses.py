"""U1 and U2: nothing but ordinary public addresses is ever connected to."""

import asyncio
import ipaddress
from pathlib import Path

import pytest

from server.errors import AddressForbidden, ConfigError, Unreachable
from server.net import Guard, GuardedClient, addresses
from server.net import client as module

from .vectors import ALIASES, PRIVATE, PUBLIC, SIX, URLS


class Spy:
    """Stands for the network: remembers where a connection was tried."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    async def connect_tcp(self, host: str, *_: object) -> None:
        self.tried.append(host)
        raise module.httpcore.ConnectError


def client_with(spy: Spy, guard: Guard | None = None, resolve=None) -> GuardedClient:
    client = GuardedClient(guard or Guard(), resolve)
    client._backend._inner = spy  # type: ignore[assignment]
    return client


def call(client: GuardedClient, url: str, folder: Path) -> None:
    async def main() -> None:
        await client.download(url, folder / "x", 1 << 20, 20)

    asyncio.run(main())


def attempts(folder: Path) -> list[str]:
    """Where the client would connect over all vectors."""
    spy = Spy()
    client = client_with(spy)
    for url in URLS:
        with pytest.raises((AddressForbidden, Unreachable)):
            call(client, url, folder)
    return spy.tried


def test_there_are_enough_vectors() -> None:
    assert len(set(URLS)) >= 120


def test_no_connection_to_a_denied_address(tmp_path: Path) -> None:
    assert attempts(tmp_path) == []


def test_a_guard_that_trusts_is_global_would_be_caught(tmp_path: Path, monkeypatch) -> None:
    """The planted bug."""
    monkeypatch.setattr(addresses, "special", lambda address: not address.is_global)
    assert len(attempts(tmp_path)) > 5


def test_every_address_of_the_tables() -> None:
    guard = Guard()
    for text in (*PRIVATE, *(t for t in SIX if "%25" not in t)):
        assert guard.forbids(ipaddress.ip_address(text), 80), text
    for text in ALIASES:
        assert guard.forbids(module._address(text), 80), text
    for text in PUBLIC:
        assert not guard.forbids(ipaddress.ip_address(text), 80), text


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_are_called_as_they_are(tmp_path: Path, host: str) -> None:
    spy = Spy()
    url = f"http://[{host}]/" if ":" in host else f"http://{host}/"
    with pytest.raises(Unreachable):
        call(client_with(spy), url, tmp_path)
    assert list(map(ipaddress.ip_address, spy.tried)) == [ipaddress.ip_address(host)]


def test_one_bad_address_of_a_name_is_enough(tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    spy = Spy()
    with pytest.raises(AddressForbidden):
        call(client_with(spy, resolve=resolve), "http://mixed.example/", tmp_path)
    assert spy.tried == []


def test_a_name_is_judged_by_the_address_that_is_called(tmp_path: Path) -> None:
    """U2: public at first, private the second time; and the name itself is never connected to."""
    answers = [["93.184.216.34"], ["127.0.0.1"], ["::1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    spy = Spy()
    client = client_with(spy, resolve=resolve)
    with pytest.raises(Unreachable):
        call(client, "http://rebind.example/", tmp_path)
    for _ in range(2):
        with pytest.raises(AddressForbidden):
            call(client, "http://rebind.example/", tmp_path)
    assert spy.tried == ["93.184.216.34"]


def test_all_addresses_of_a_name_are_tried(tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "1.1.1.1"]

    spy = Spy()
    with pytest.raises(Unreachable):
        call(client_with(spy, resolve=resolve), "http://two.example/", tmp_path)
    assert spy.tried == ["8.8.8.8", "1.1.1.1"]


def test_an_allowed_network_opens_nothing_else(tmp_path: Path) -> None:
    guard = Guard.of(["10.1.0.0/16", "127.0.0.0/8"], own_port=8000)

    def forbids(text: str, port: int = 80) -> bool:
        return guard.forbids(ipaddress.ip_address(text), port)

    assert not forbids("10.1.2.3")
    assert not forbids("::ffff:10.1.2.3")
    assert forbids("10.2.0.1")
    assert forbids("169.254.169.254")
    assert not forbids("127.0.0.1", 8001)
    assert forbids("127.0.0.1", 8000), "the server's own port"
    assert forbids("::1", 8001)
    with pytest.raises(ConfigError, match="allow_networks"):
        Guard.of(["not a network"], 8000)


def test_a_url_is_judged_before_it_is_kept() -> None:
    client = GuardedClient(Guard())
    client.check_url("https://example.com/hook?x=1")
    for url in ("http://127.0.0.1/", "http://0x7f.1/", "ftp://x/", "http://[::1]/", "nonsense"):
        with pytest.raises(AddressForbidden):
            client.check_url(url)
