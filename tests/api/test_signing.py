"""Signed URLs and the rate limit: any spelling of one meaning, to the second, exact."""

import random
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.api.edge.limits import RateLimit
from server.api.signing import BASE, BadSignature, DownloadGrant, Signer, UploadGrant, UrlExpired
from server.errors import StemboxError

SIGNER = Signer(b"s" * 32)
UPLOAD = UploadGrant("uploads/ann/r4nd-om_/input.mp3", 1000, 5 << 20)
CHOSEN = UploadGrant("uploads/ann/r4nd-om_/input.mp3", 1000, 5 << 20, "audio/mpeg")
DOWNLOAD = DownloadGrant("0a1b-2c", "vocals.mp3", 1000)


def check_upload(target: str, now: float = 999.0, signer: Signer = SIGNER) -> UploadGrant:
    """As the route does it."""
    path, _, query = target.partition("#")[0].partition("?")
    key = unquote(path, errors="replace").removeprefix(f"{BASE}/")
    return signer.check_upload(key, parse_qsl(query, True), now)


def check_download(target: str, now: float = 999.0, signer: Signer = SIGNER) -> None:
    path, _, query = target.partition("#")[0].partition("?")
    parts = unquote(path, errors="replace").removeprefix(f"{BASE}/").split("/")
    if len(parts) != 3 or parts[0] != "downloads":
        raise BadSignature("no such route")
    signer.check_download(parts[1], parts[2], parse_qsl(query, True), now)


Check = Callable[[str], object]
KINDS: dict[str, tuple[Check, str, tuple[str, ...]]] = {
    "upload": (check_upload, SIGNER.upload_path(UPLOAD), ("expires", "max", "type")),
    "chosen": (check_upload, SIGNER.upload_path(CHOSEN), ("expires", "max", "type")),
    "download": (check_download, SIGNER.download_path(DOWNLOAD), ("expires",)),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def test_what_was_granted_is_what_is_found() -> None:
    assert check_upload(SIGNER.upload_path(UPLOAD)) == UPLOAD
    assert check_upload(SIGNER.upload_path(CHOSEN)) == CHOSEN
    check_download(SIGNER.download_path(DOWNLOAD))


def test_minted_values_have_nothing_that_could_be_spelled_otherwise() -> None:
    odd = UploadGrant("uploads/ann/r/input.mp3", 1000, 1, "audio/vnd.x+y-z~?")
    for target in (*(target for _, target, _ in KINDS.values()), SIGNER.upload_path(odd)):
        values = [pair.partition("=")[2] for pair in target.partition("?")[2].split("&")]
        assert all(value.replace("-", "").replace("_", "").isalnum() for value in values)
    assert check_upload(SIGNER.upload_path(odd)) == odd


@kinds
def test_expiry_is_to_the_second(kind: str) -> None:
    check, target, _ = KINDS[kind]
    check(target, 999.999)
    with pytest.raises(UrlExpired):
        check(target, 1000.0)


def escaped(text: str, rng: random.Random) -> str:
    """Some of the characters percent-encoded, with hex digits of either case."""
    return "".join(
        c if rng.random() < 0.6 or c == "/"
        else rng.choice((f"%{ord(c):02x}", f"%{ord(c):02X}")) for c in text
    )  # fmt: skip


OTHERS = ("utm_source=mail", "_=170", "fbclid=a%2Fb", "utm_source=b+c%20d", "x", "", "a=b=c",
          "Signature=1", "expires2=5", "amp;max=1")  # fmt: skip


@kinds
@given(seed=st.integers(0, 2**32))
def test_every_spelling_of_one_meaning_passes(kind: str, seed: int) -> None:
    """D16: order, escapes, what others add."""
    rng = random.Random(seed)
    check, target, _ = KINDS[kind]
    path, _, query = target.partition("?")
    pairs = [
        "=".join(escaped(part, rng) for part in pair.split("=")) for pair in query.split("&")
    ]
    pairs += rng.sample(OTHERS, rng.randrange(len(OTHERS)))
    rng.shuffle(pairs)
    check(f"{escaped(path, rng)}?{'&'.join(pairs)}{rng.choice(('', '#t=10', '&'))}")


def meaning(target: str, names: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """The path and our parameters of it, decoded."""
    path, _, query = target.partition("#")[0].partition("?")
    pairs = parse_qsl(query, True)
    return unquote(path, errors="replace"), sorted(
        pair for pair in pairs if pair[0] in (*names, "signature"))


def mutated(target: str, rng: random.Random) -> str:
    """One byte changed, removed, doubled or added, or two pieces swapped."""
    place = rng.randrange(len(target))
    any_byte = chr(rng.randrange(33, 127))
    return rng.choice((
        target[:place] + any_byte + target[place + 1 :],
        target[:place] + target[place + 1 :],
        target[:place] + any_byte + target[place:],
        target[:place] + target[place].swapcase() + target[place + 1 :],
        target[:place] + quote(target[place], safe="") + target[place + 1 :],
        target + rng.choice(("&expires=99999", "&type=YQ", "&x=1", "#", "&", "%00", "=", "&max=9")),
        target.replace("=1000", rng.choice(("=+1000", "=01000", "=1_000", "=9999", "=1000%20"))),
        target.replace("&", rng.choice((";", "%26", "&amp;"))),
        target.replace("=", rng.choice(("%3D", "==", "=+"))),
    ))


def mutations(
    kind: str, check: Check, target: str, count: int = 10_000
) -> tuple[list[str], list[str]]:
    """So many URLs of another meaning than `target`: those that pass all the same; and all that
    mean the same as before."""
    names = KINDS[kind][2]
    rng, before = random.Random(1), meaning(target, names)
    passed, same, others = [], [], 0
    while others < count:
        other = mutated(target, rng)
        if meaning(other, names) == before:
            same.append(other)
            continue
        others += 1
        try:
            check(other)
        except StemboxError:
            continue
        except (LookupError, ValueError):
            pass  # the signature let it through, and what is read then is nothing
        passed.append(other)
    return passed, same


@kinds
def test_ten_thousand_mutations_of_meaning_and_no_accept(kind: str) -> None:
    """P1; and what means the same as before is accepted, all of it."""
    check, target, _ = KINDS[kind]
    passed, same = mutations(kind, check, target)
    assert passed == []
    assert len(same) > 100
    for other in same:
        check(other)


@kinds
@pytest.mark.parametrize("name", ["expires", "max", "type", "signature"])
def test_which_of_two_is_meant_is_not_guessed(kind: str, name: str) -> None:
    check, target, names = KINDS[kind]
    if f"{name}=" not in target:  # then once is too much, or it is somebody else's
        if name in names:
            with pytest.raises(BadSignature):
                check(f"{target}&{name}=1")
        else:
            check(f"{target}&{name}=1")
        return
    value = dict(parse_qsl(target.partition("?")[2]))[name]
    for twice in (f"{target}&{name}={value}", f"{target}&%{ord(name[0]):x}{name[1:]}=1"):
        with pytest.raises(BadSignature, match="twice"):
            check(twice)


def test_a_value_does_not_pass_for_two() -> None:
    """`expires=1000&max=5` as one value is another meaning than as two."""
    for target, old, new in (
        (SIGNER.upload_path(UPLOAD), "expires=1000&max=", "expires=1000%26max%3D"),
        (SIGNER.upload_path(CHOSEN), "&type=", "%26type%3D"),
        (SIGNER.download_path(DOWNLOAD), "?expires=", "%3Fexpires="),
    ):
        check = check_download if "downloads" in target else check_upload
        with pytest.raises(BadSignature):
            check(target.replace(old, new))


class Forgetful(Signer):
    """Its signatures do not cover one field: a parameter, or (without its "=") the path."""

    forgotten = ""

    def _signature(self, method: str, unsigned: str) -> str:
        path, _, query = unsigned.partition("?")
        pairs = [pair for pair in query.split("&") if not pair.startswith(f"{self.forgotten}=")]
        path = "" if self.forgotten == "path" else path
        return super()._signature(method, f"{path}?{'&'.join(pairs)}")


@pytest.mark.parametrize(("kind", "field"), [
    ("upload", "path"), ("upload", "expires"), ("upload", "max"), ("upload", "type"),
    ("chosen", "type"), ("download", "path"), ("download", "expires"),
])  # fmt: skip
def test_a_signature_that_ignores_one_field_is_found_out(kind: str, field: str) -> None:
    """The planted bug, once for each field: some of the ten thousand mutations pass."""
    forgetful = Forgetful(b"s" * 32)

    def target() -> str:
        if kind == "download":
            return forgetful.download_path(DOWNLOAD)
        return forgetful.upload_path({"upload": UPLOAD, "chosen": CHOSEN}[kind])

    def check(target: str) -> object:
        if kind == "download":
            return check_download(target, signer=forgetful)
        return check_upload(target, signer=forgetful)

    assert mutations(kind, check, target(), 1000)[0] == []
    forgetful.forgotten = field
    assert mutations(kind, check, target())[0] != []


def test_one_kind_of_url_is_no_other() -> None:
    other = Signer(b"t" * 32)
    with pytest.raises(BadSignature):
        check_upload(other.upload_path(UPLOAD))
    signature = SIGNER.upload_path(UPLOAD).partition("signature=")[2]
    unsigned = SIGNER.upload_path(CHOSEN).partition("signature=")[0]
    with pytest.raises(BadSignature):
        check_upload(f"{unsigned}signature={signature}")


def test_the_limit_is_exact() -> None:
    """K2."""
    limit = RateLimit(60)
    verdicts = [limit.count("ann", 100.0 + i / 10) for i in range(100)]
    assert [v.allowed for v in verdicts] == [True] * 60 + [False] * 40
    assert [v.remaining for v in verdicts[:60]] == list(range(59, -1, -1))
    assert {v.reset for v in verdicts} == {160}
    assert limit.count("bob", 105.0).allowed, "each caller has a window of its own"
    assert not limit.count("ann", 159.9).allowed
    assert limit.count("ann", 160.0).allowed
    assert limit.count("ann", 90.0).allowed, "a clock that was set back locks nobody out"


@given(st.floats(0, 1e8), st.floats(0, 59.999))
@example(63.40641584110116, 0.0)
def test_nobody_is_told_to_wait_for_longer_than_a_window(began: float, later: float) -> None:
    limit = RateLimit(1)
    first, then = limit.count("ann", began), limit.count("ann", began + later)
    assert first.wait == 60
    assert 1 <= then.wait <= 60


def test_windows_that_are_over_are_forgotten(monkeypatch) -> None:
    monkeypatch.setattr("server.api.edge.limits.MOST_CALLERS", 10)
    limit = RateLimit(1)
    for i in range(30):
        limit.count(f"caller {i}", 100.0 * i)
    assert len(limit._windows) <= 10
