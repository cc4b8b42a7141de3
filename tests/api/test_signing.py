"""Signed URLs and the rate limit: one spelling, to the second, exact."""

import random
from urllib.parse import parse_qsl, unquote

import pytest

from server.api.limits import RateLimit
from server.api.signing import BASE, BadSignature, DownloadGrant, Signer, UploadGrant, UrlExpired
from server.errors import StemboxError

SIGNER = Signer(b"s" * 32)
UPLOAD = UploadGrant("uploads/ann/r4nd-om_/input.mp3", 1000, 5 << 20, "audio/mpeg")
DOWNLOAD = DownloadGrant("0a1b-2c", "vocals.mp3", 1000)


def check_upload(target: str, now: float = 999.0, signer: Signer = SIGNER) -> UploadGrant:
    """As the route does it."""
    path, _, query = target.partition("?")
    key = unquote(path, errors="replace").removeprefix(f"{BASE}/")
    return signer.check_upload(target, key, dict(parse_qsl(query, True)), now)


def check_download(target: str, now: float = 999.0) -> None:
    path, _, query = target.partition("?")
    parts = unquote(path, errors="replace").removeprefix(f"{BASE}/").split("/")
    if len(parts) != 3:
        raise BadSignature("no such route")
    SIGNER.check_download(target, parts[1], parts[2], dict(parse_qsl(query, True)), now)


def test_what_was_granted_is_what_is_found() -> None:
    assert check_upload(SIGNER.upload_path(UPLOAD)) == UPLOAD
    check_download(SIGNER.download_path(DOWNLOAD))


def test_expiry_is_to_the_second() -> None:
    targets = SIGNER.upload_path(UPLOAD), SIGNER.download_path(DOWNLOAD)
    for check, target in zip((check_upload, check_download), targets, strict=True):
        check(target, 999.999)
        with pytest.raises(UrlExpired):
            check(target, 1000.0)


def mutated(target: str, rng: random.Random) -> str:
    """One byte changed, removed, doubled or added, or two pieces swapped."""
    place = rng.randrange(len(target))
    any_byte = chr(rng.randrange(33, 127))
    return rng.choice((
        target[:place] + any_byte + target[place + 1 :],
        target[:place] + target[place + 1 :],
        target[:place] + any_byte + target[place:],
        target[:place] + target[place].swapcase() + target[place + 1 :],
        target + rng.choice(("&expires=99999", "&x=1", "#", "&", "%00", "=")),
        target.replace("%2F", rng.choice(("/", "%2f", "%252F"))),
        target.replace("=1000", rng.choice(("=+1000", "=01000", "=1_000", "=9999"))),
    ))


@pytest.mark.parametrize(("check", "target"), [
    (check_upload, SIGNER.upload_path(UPLOAD)), (check_download, SIGNER.download_path(DOWNLOAD)),
])
def test_ten_thousand_mutations_and_no_accept(check, target: str) -> None:
    """P1."""
    rng, tried = random.Random(1), 0
    while tried < 10_000:
        wrong = mutated(target, rng)
        if wrong != target:
            tried += 1
            with pytest.raises(StemboxError):
                check(wrong)


def test_a_checker_that_forgets_a_field_would_be_caught() -> None:
    """The planted bug: a signature that does not cover the size."""

    class Forgetful(Signer):
        def upload_path(self, grant: UploadGrant) -> str:
            bare = UploadGrant(grant.key, grant.expires, 0, grant.content_type)
            return super().upload_path(bare).replace("max=0", f"max={grant.max_bytes}")

    signer = Forgetful(b"s" * 32)
    wrong = signer.upload_path(UPLOAD).replace(f"max={5 << 20}", "max=99999999")
    assert check_upload(wrong, signer=signer).max_bytes == 99999999
    with pytest.raises(BadSignature):
        check_upload(SIGNER.upload_path(UPLOAD).replace(f"max={5 << 20}", "max=99999999"))


def test_one_kind_of_url_is_no_other() -> None:
    other = Signer(b"t" * 32)
    with pytest.raises(BadSignature):
        check_upload(other.upload_path(UPLOAD))


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


def test_windows_that_are_over_are_forgotten(monkeypatch) -> None:
    monkeypatch.setattr("server.api.limits.MOST_CALLERS", 10)
    limit = RateLimit(1)
    for i in range(30):
        limit.count(f"caller {i}", 100.0 * i)
    assert len(limit._windows) <= 10
