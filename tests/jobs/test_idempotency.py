"""Two bodies mean the same order, or they do not: whatever their JSON looks like."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.v1.wire import CreateJobRequest
from server.jobs.idempotency import meaning
from server.jobs.orders import Order

NUMBERS = st.one_of(
    st.integers(), st.integers(-(2**53), 2**53), st.integers(10**20, 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)),
    max_leaves=12,
)  # fmt: skip
BODIES = st.fixed_dictionaries(
    {"sourceUrl": st.text(min_size=1, max_size=30)},
    optional={
        "outputType": st.sampled_from(["BOTH", "VOCALS"]),
        "quality": st.sampled_from(["BEST", "FAST"]),
        "outputFormat": st.sampled_from(["MP3", "WAV"]),
        "metadata": st.dictionaries(st.text(max_size=9), VALUES, max_size=4),
        "fileName": st.text(min_size=1, max_size=30),
    },
)
DEFAULTS = {"outputType": "BOTH", "quality": "BEST", "outputFormat": "MP3", "metadata": None,
            "fileName": None, "uploadKey": None, "callbackUrl": None}  # fmt: skip


def meant(text: str, **caller: str) -> str:
    """As the route does it, but for the cleaning of names."""
    body = msgspec.json.decode(text.encode(), type=CreateJobRequest)
    return meaning(Order(**{"account_id": "ann", "base_url": "http://x"} | caller, **body.asked()))


class Writer:
    """Writes one body in many ways."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def write(self, value: Any) -> str:
        space = self._random.choice(("", " ", "\n", "\t\r\n "))
        return f"{space}{self._bare(value)}{space}"

    def _bare(self, value: Any) -> str:
        if isinstance(value, dict):
            items = list(value.items())
            self._random.shuffle(items)
            return "{" + ",".join(f"{self.write(k)}:{self.write(v)}" for k, v in items) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(self.write, value)) + "]"
        if isinstance(value, str):
            return f'"{"".join(map(self._character, value))}"'
        if isinstance(value, bool) or value is None:
            return json.dumps(value)
        return self._number(value)

    def _character(self, c: str) -> str:
        if c in '"\\' or ord(c) < 32 or self._random.random() < 0.3:
            units = c.encode("utf-16-be")
            escapes = (f"\\u{units[at:at + 2].hex()}" for at in range(0, len(units), 2))
            return "".join(self._random.choice((e, e.upper().replace("U", "u"))) for e in escapes)
        return self._random.choice((c, "\\/")) if c == "/" else c

    def _number(self, value: float) -> str:
        plain = json.dumps(value)
        ways = [plain, plain.replace("e", "E")]
        if isinstance(value, float):
            ways.append(plain.replace("e", "0e") if "." in plain else plain)
            if "e" not in plain:
                ways += [f"{plain}0", f"{plain}e0", f"{plain}E+00"]
        elif abs(value) < 2**53:
            ways += [f"{plain}.0", f"{plain}e0", f"{plain}.000E-0"]
        return self._random.choice(ways)


@given(BODIES, st.integers(0, 2**32))
def test_every_way_to_write_a_body_means_the_same(body: dict[str, Any], seed: int) -> None:
    writer = Writer(seed)
    full = {**DEFAULTS, **body}
    expected = meant(json.dumps(body))
    for other in (body, full, {**body, "unknown": [1]}):
        assert meant(writer.write(other)) == expected
    assert meant(json.dumps(body), base_url="https://proxy") == expected


def key(body: dict[str, Any]) -> Any:
    """What a body means, by Python's own equality, which takes True for 1 and not for 'true'."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return ("object", frozenset((k, plain(v)) for k, v in value.items()))
        if isinstance(value, list):
            return ("list", tuple(map(plain, value)))
        return ("bool", value) if isinstance(value, bool) else ("plain", value)

    return plain({**DEFAULTS, **body})


@given(BODIES, BODIES)
def test_bodies_that_mean_something_else_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (meant(json.dumps(one)) == meant(json.dumps(other))) == (key(one) == key(other))


@pytest.mark.parametrize(("one", "other", "same"), [
    ("1", "1.0", True), ("1", "1e0", True), ("100", "1E+2", True), ("0", "-0.0", True),
    ("0.1", "1e-1", True), ("0.1", "0.10000000000000001", True), ("1e23", "1" + "0" * 23, True),
    ("1.5", "15e-1", True), ('"\\u00e9"', '"é"', True), ('"\\/"', '"/"', True),
    ('{"a":1,"b":2}', '{ "b" : 2.0, "a" : 1 }', True),
    ("9007199254740993", "9007199254740992", False), ("1", '"1"', False), ("1", "true", False),
    ("0", "false", False), ("null", "{}", False), ("[1,2]", "[2,1]", False), ('""', "null", False),
    ('"é"', '"e\\u0301"', False), ("1", "1.0000001", False), ('{"a":null}', "{}", False),
])  # fmt: skip
def test_pairs(one: str, other: str, same: bool) -> None:
    bodies = (f'{{"sourceUrl":"x","metadata":{{"v":{text}}}}}' for text in (one, other))
    first, second = map(meant, bodies)
    assert (first == second) is same


def test_the_caller_is_not_the_body() -> None:
    body = '{"sourceUrl":"http://x"}'
    assert meant(body) == meant(body, base_url="http://other") == meant(body, account_id="bob")
    assert meant(body) != meant('{"uploadKey":"http://x"}')
