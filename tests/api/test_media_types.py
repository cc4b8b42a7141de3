"""Which content types are one, and which may stand for sound."""

import pytest

from server.api.files.media_types import essence, is_same, likely, may_be_sound

SAME = [
    ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave; codec=1", "AUDIO/WAV",
     "audio/x-pn-wav"),
    ("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3", "audio/x-mpeg-3", "audio/x-mpeg"),
    ("audio/mp4", "audio/m4a", "audio/x-m4a", "audio/MP4; codecs=\"mp4a.40.2\"", "video/mp4"),
    ("audio/flac", "audio/x-flac", "application/x-flac"),
    ("audio/ogg", "application/ogg", "audio/ogg; codecs=opus", "audio/opus", "video/ogg",
     "audio/x-ogg"),
    ("audio/aiff", "audio/x-aiff", "audio/aif"),
    ("audio/aac", "audio/x-aac", "audio/aacp"),
    ("audio/webm", "video/webm", "audio/webm;codecs=opus"),
    ("application/octet-stream", "binary/octet-stream"),
    ("audio/x-nobody-knows", "audio/nobody-knows"),
]  # fmt: skip


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_names_of_one_type(names: tuple[str, ...]) -> None:
    for one in names:
        assert all(is_same(one, other) for other in names)
        others = [other for group in SAME for other in group if group is not names]
        assert not any(is_same(one, other) for other in others)
    assert not is_same(names[0], "")


@pytest.mark.parametrize("sent", [
    *(name for group in SAME for name in group), "", "video/quicktime", "Video/X-MATROSKA",
    "application/x-www-form-urlencoded", " audio/mpeg ;q=1",
])  # fmt: skip
def test_what_may_be_sound(sent: str) -> None:
    assert may_be_sound(sent)


@pytest.mark.parametrize("sent", [
    "text/html", "image/png", "application/json", "multipart/form-data; boundary=x",
    "chemical/x-xyz", "xaudio/mpeg", "application/pdf; name=audio/mpeg",
])  # fmt: skip
def test_what_is_something_else(sent: str) -> None:
    assert not may_be_sound(sent)


def test_essence() -> None:
    assert essence(' Audio/OGG ; codecs="a;b, c"') == "audio/ogg"
    assert essence("audio/mpeg, audio/mpeg") == "audio/mpeg"


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.xyz", "a.png", "a", "data:,x", "a.opus"])
def test_what_is_likely_passes_itself(name: str) -> None:
    assert may_be_sound(likely(name))
    assert likely("a.mp3") == "audio/mpeg"
