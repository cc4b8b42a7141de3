"""Names: clean, short enough, and never cut through a letter or before a suffix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.names import MAX_BYTES, clean_name, name_in_url, shortened


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("a" * 500, "a" * 255),
        ("a" * 500 + ".flac", "a" * 250 + ".flac"),
        ("a." + "b" * 500, "a." + "b" * 253),
        ("é" * 500 + ".mp3", "é" * 125 + ".mp3"),
        ("€" * 340 + ".wav", "€" * 83 + ".wav"),
        ("🎵" * 250 + ".wav", "🎵" * 62 + ".wav"),
        ("e\u0301" * 300 + ".mp3", "e\u0301" * 83 + ".mp3"),
        ("x" * 250 + "👨\u200d👩\u200d👧" + "y" * 9 + ".mp3", "x" * 250 + ".mp3"),
        ("." + "mp3" * 100, "." + "mp3" * 84 + "mp"),
        ("\u0301" * 500, "\u0301" * 127),
        ("a" * 249 + "  " + "b" * 99 + ".mp3", "a" * 249 + ".mp3"),
        ("so\r\nng\x00\x1b[31m.wav\u2028", "song[31m.wav"),
        ("evil\u202e3pm.exe", "evil3pm.exe"),
        ("  song.wav ", "song.wav"),
        ("...", "..."),
        (".wav", ".wav"),
        ("", ""),
        ("folder/", ""),
        ("..", ""),
        ("\x00\n", ""),
        ("C:\\music\\song.wav", "song.wav"),
    ],
)
def test_clean_name(raw: str, name: str) -> None:
    assert clean_name(raw) == name


@given(st.text(max_size=600))
def test_a_clean_name_is_no_path_and_clean_already(raw: str) -> None:
    name = clean_name(raw)
    assert len(name.encode()) <= MAX_BYTES
    assert not set(name) & set("/\\\r\n\x00")
    assert name not in (".", "..")
    assert clean_name(name) == name


LETTERS = ("a", "é", "€", "🎵", "e\u0301", "o\u0302\u0301", "👨\u200d👩\u200d👧")


@given(st.lists(st.sampled_from(LETTERS), max_size=300), st.integers(40, 300))
def test_what_is_shortened_is_whole_letters_and_the_suffix(letters: list[str], most: int) -> None:
    name = "".join(letters) + ".flac"
    short = shortened(name, most)
    beginnings = ["".join(letters[:count]) for count in range(len(letters) + 1)]
    fitting = [b for b in beginnings if len(f"{b}.flac".encode()) <= most]
    assert short == f"{fitting[-1]}.flac"


@pytest.mark.parametrize(("url", "name"), [
    ("https://a.example/b/My%20Song.mp3?x=/c.wav#d", "My Song.mp3"),
    ("https://a.example/a%2F..%2Fb.mp3", "b.mp3"),
    ("https://a.example/c%3A%5Cb.mp3", "b.mp3"),
    ("https://a.example/b%00%0A%1B.mp3", "b.mp3"),
    ("https://a.example/%E2%82%AC.mp3", "€.mp3"),
    ("https://a.example/%FF.mp3", "\ufffd.mp3"),
    ("https://a.example", ""), ("https://a.example/a/", ""), ("https://a.example/a/%2e%2e", ""),
    ("http://[", ""), ("", ""), ("//h.example/a.mp3", "a.mp3"), ("a.mp3?b#c", "a.mp3"),
    ("https://a.example/" + "%C3%A9" * 200 + ".mp3", "é" * 125 + ".mp3"),
])  # fmt: skip
def test_the_name_in_a_url(url: str, name: str) -> None:
    assert name_in_url(url) == name
