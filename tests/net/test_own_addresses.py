"""Which addresses are this machine's own, or its neighbours': nobody's URL leads there."""

import socket
from ipaddress import ip_address

import pytest

from server.errors import AddressForbidden, ConfigError
from server.net import Guard, connecting
from server.net.connecting import is_own

OWN = ("8.8.4.4", "2a00:1450::7")


def test_which_addresses_are_this_machines_own() -> None:
    own = ("127.0.0.1", "127.0.0.9", "0.0.0.0", "::ffff:127.0.0.1")
    assert all(is_own(ip_address(text)) for text in own)
    assert not any(is_own(ip_address(text)) for text in ("192.0.2.1", "8.8.8.8"))


@pytest.mark.parametrize("text", [
    *OWN, "::ffff:8.8.4.4", "64:ff9b::8.8.4.4", "2a00:1450:1:1:0:5efe:808:404",
])  # fmt: skip
@pytest.mark.parametrize("port", [80, 443, 22, 6379, 65535])
def test_this_machines_public_addresses_are_shut_on_every_port(
    text: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services that trust this machine listen there; not only this server's own port."""
    monkeypatch.setattr(connecting, "is_own", lambda address: str(address) in OWN)
    address = ip_address(text)
    for guard in (Guard(), Guard.of(["10.0.0.0/8"], 8000)):
        with pytest.raises(AddressForbidden):
            connecting.check_address(guard, address, port)
    connecting.check_address(Guard(), ip_address("8.8.8.8"), port)
    named = Guard.of([text], 65535)
    if port == 65535:
        with pytest.raises(AddressForbidden):
            connecting.check_address(named, address, port)
    else:
        connecting.check_address(named, address, port)


class Probe:
    """A datagram socket on a machine with one IPv6 address."""

    def __init__(self, _: object) -> None: ...

    def __enter__(self) -> "Probe":
        return self

    def __exit__(self, *_: object) -> None: ...

    def connect(self, place: tuple[str, int]) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return ("2a00:1450:1:2::99", 1)


@pytest.mark.parametrize(("text", "called"), [
    ("2a00:1450:1:2::1", False), ("2a00:1450:1:2:ffff::1", False), ("2a00:1450:1:3::1", True),
    ("8.8.8.8", True), ("::ffff:8.8.8.8", True), ("64:ff9b::8.8.8.8", True),
])  # fmt: skip
def test_neighbours_on_an_ipv6_network_are_not_called(
    text: str, called: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The router, a printer, a disk: public addresses, which the router alone shields."""
    monkeypatch.setattr(connecting, "is_own", lambda address: False)
    monkeypatch.setattr(connecting, "_datagrams", Probe)
    address = ip_address(text)
    if called:
        connecting.check_address(Guard(), address, 443)
        return
    with pytest.raises(AddressForbidden):
        connecting.check_address(Guard(), address, 443)
    for port in (443, 8000):  # where this server itself may listen, too
        connecting.check_address(Guard.of([text], 8000), address, port)


@pytest.mark.parametrize("text", ["8.8.4.4", "::ffff:8.8.4.4", "64:ff9b::8.8.4.4"])
def test_networks_that_are_denied(text: str) -> None:
    """A machine behind a NAT does not know its own public address: the operator names it."""
    guard = Guard.of(["8.8.0.0/16"], denied=["8.8.4.0/24"])
    assert guard.forbids(ip_address(text)) and not guard.forbids(ip_address("8.8.8.8"))
    with pytest.raises(ConfigError, match=r"fetch\.deny_networks"):
        Guard.of([], denied=["here"])


def test_a_kernel_that_lets_sockets_be_bound_to_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """ip_nonlocal_bind=1: not every address of the world is this machine's own."""
    monkeypatch.setattr(connecting, "_can_bind", lambda address: True)
    assert not any(is_own(ip_address(text)) for text in ("8.8.8.8", "198.51.100.7", "2a00::1"))
    assert all(is_own(ip_address(text)) for text in ("127.0.0.1", "127.0.0.9", "::1", "0.0.0.0"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.7", 9))
        except OSError:
            pytest.skip("this machine has no way out, and so no address of its own")
        assert is_own(ip_address(probe.getsockname()[0]))
