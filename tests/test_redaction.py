"""What a log line must not tell, wherever it stands; and that all else of it is kept."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.jobs import keys
from server.jobs.webhooks.signatures import new_secret
from server.redaction import Redaction

KEY, TEST_KEY, SECRET = keys.new_key(), keys.new_key(test=True), new_secret()
DATA = Path("/srv/some where/data")
REDACT = Redaction([DATA])


def filled(text: str) -> str:
    """With this run's keys and folder: the tests' names are the same in every run."""
    return text.format(key=KEY, test_key=TEST_KEY, secret=SECRET, data=DATA)


@pytest.mark.parametrize(("line", "told"), [
    ("key {key}.", "key {key:.16}…."),
    ("Authorization: Bearer {test_key}", "Authorization: Bearer {test_key:.16}…"),
    ("authorization: bearer eyJhbGciOi.x_y'", "authorization: bearer …'"),
    ("secret={secret}, next", "secret=whsec_…, next"),
    ("x?expires=1&signature=Ab-_9&type=x", "x?expires=1&signature=…&type=x"),
    ("/x%3Fsignature%3DAb-_9%26a", "/x%3Fsignature%3D…%26a"),
    ("to https://hooks.example/T0/B0/xyz?a=b: no", "to https://hooks.example/… no"),
    ("'http://ann:pass@h.example:81/'", "'http://h.example:81/…'"),
    ("Invalid enum value 'ftp://h.example/token'", "Invalid enum value 'ftp://h.example/…'"),
    ("to https://h.example/Don't%20Stop?token=abc: x", "to https://h.example/… x"),
    ("['https://h.example/a', 'b']", "['https://h.example/…', 'b']"),
    ("https://us'er:pa'ss@h.example/x", "https://h.example/…"),
    ("https://h.example?token=1", "https://h.example/…"),
    ("No such file: '{data}/scratch/1/input'", "No such file: '<data>/scratch/1/input'"),
])  # fmt: skip
def test_what_is_not_told(line: str, told: str) -> None:
    assert REDACT(filled(line)) == filled(told)


@pytest.mark.parametrize("line", [
    "key {key:.16}", "http://127.0.0.1:8000", "the bearer", "signature of this URL", "sk_live_",
    "/srv/elsewhere", "whsec_ is where they begin",
])  # fmt: skip
def test_what_stays(line: str) -> None:
    assert REDACT(filled(line)) == filled(line)


@given(st.lists(st.text() | st.sampled_from(
    [KEY, SECRET, f"Bearer {KEY}", f"https://u:{SECRET}@h/{KEY}?x=\"'\\", "signature=abc",
     f"{DATA}/x", '"', "\\", "\n", "bearer "]), max_size=12), st.booleans())  # fmt: skip
def test_json_stays_json_and_holds_nothing(parts: list[str], between: bool) -> None:
    line = json.dumps({"event": (" " if between else "").join(parts), "n": 1}, ensure_ascii=False)
    redacted = REDACT(line)
    assert set(json.loads(redacted)) == {"event", "n"}
    assert KEY not in redacted and SECRET not in redacted and str(DATA) not in redacted


def test_a_folder_that_is_a_link_has_two_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    redact = Redaction([tmp_path / "link"])
    for name in ("real", "link"):
        assert redact(f"{tmp_path}/{name}/x") == "<data>/x"
    assert Redaction([Path("/")])("/a/b") == "/a/b"


@pytest.mark.parametrize("unit", ["a", "a+", "://", "bearer ", "signature=", "@"])
def test_a_long_line_is_read_once(unit: str) -> None:
    """One that is read anew from each of its letters takes longer than a test may."""
    assert REDACT(f"{unit * 200_000} {KEY}").endswith(f" {KEY[:16]}…")
