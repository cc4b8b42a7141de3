"""Which addresses are special, which are not, and what the settings open."""

from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ConfigError
from server.net.addresses import SPECIAL_V4, Guard, forbidden

ORDINARY = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
    "192.0.1.1", "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.1",
    "169.253.1.1", "169.255.0.1", "11.0.0.1", "126.255.255.255", "128.0.0.1", "2a00:1450:4001::1",
    "2606:4700::1111", "2001:4860:4860::8888", "2001:200::1", "2003::1", "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8", "64:ff9b::101:101", "2a00:1450:1:1:0:5efe:808:808",
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_addresses_pass(text: str) -> None:
    assert not forbidden(ip_address(text))
    assert not Guard().forbids(ip_address(text))


@given(st.sampled_from(SPECIAL_V4), st.integers(0, 2**32 - 1))
def test_a_special_address_is_so_in_every_wrapping(network, number: int) -> None:
    inner = network[number % network.num_addresses]
    tail = int(inner)
    assert forbidden(inner)
    for head in (0xFFFF << 32, 0x64FF9B << 96, 0x64FF9B0001 << 80, 0, 0x2A00 << 112 | 0x5EFE << 32):
        assert forbidden(IPv6Address(head | tail))
    assert forbidden(IPv6Address(0x2002 << 112 | tail << 80 | 1))
    assert forbidden(IPv6Address(0x20010000 << 96 | tail ^ 0xFFFFFFFF))


@given(st.ip_addresses(v=4))
def test_wrappings_that_are_followed_judge_as_the_address_itself(inner) -> None:
    for head in (0xFFFF << 32, 0x64FF9B << 96):
        assert forbidden(IPv6Address(head | int(inner))) == forbidden(inner)


@given(st.ip_addresses())
def test_never_more_than_what_python_calls_global(address) -> None:
    """Beside the exceptions inside of special blocks, which are refused here all the same."""
    if not forbidden(address) and address not in ip_network("64:ff9b::/96"):
        assert address.is_global


def test_allowed_networks_open_what_they_name_and_no_more() -> None:
    guard = Guard.of(["127.0.0.0/8", "10.1.2.3", "fd00::/16", "192.168.7.9/24"])
    for text in ("127.0.0.1", "127.9.9.9", "10.1.2.3", "fd00::2", "192.168.7.1", "8.8.8.8",
                 "::ffff:127.0.0.1"):  # fmt: skip
        assert not guard.forbids(ip_address(text)), text
    for text in ("10.1.2.4", "192.168.8.1", "::1", "fd01::1", "64:ff9b::7f00:1", "2002:7f00:1::",
                 "::7f00:1", "169.254.169.254"):  # fmt: skip
        assert guard.forbids(ip_address(text)), text


def test_a_mapped_network_is_the_one_that_it_spells() -> None:
    guard = Guard.of(["::ffff:10.1.0.0/112", "::ffff:127.0.0.1"])
    assert not guard.forbids(ip_address("10.1.2.3")) and guard.forbids(ip_address("10.2.0.1"))
    assert not guard.forbids(ip_address("::ffff:127.0.0.1"))


def test_a_zone_is_refused_even_in_an_allowed_network() -> None:
    guard = Guard.of(["fe80::/10"])
    assert not guard.forbids(ip_address("fe80::1"))
    assert guard.forbids(ip_address("fe80::1%eth0"))


@pytest.mark.parametrize("text", ["localhost", "10.0.0.0/33", "", "10.0.0/8"])
def test_a_setting_that_is_no_network_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"fetch\.allow_networks"):
        Guard.of([text])
