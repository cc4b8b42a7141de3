"""Names of downloads: what every system can write, and headers that every client can read."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from server.api.files.file_names import attachment
from server.names import song_of


@pytest.mark.parametrize(("file_name", "song"), [
    ("song.wav", "song"),
    ("song", "song"),
    ("Mr. Brightside", "Mr. Brightside"),
    ("Mr. Brightside.mp3", "Mr. Brightside"),
    ("track.01", "track.01"),
    ("a.b.c.FLAC ", "a.b.c"),
    ("song.mp3.wav", "song.mp3"),
    ("song.3gp", "song"),
    ("R.E.M..m4a", "R.E.M."),
    ("../../etc/passwd", "passwd"),
    ("C:\\music\\song.wav", "song"),
    ("", "JOB"), (".", "JOB"), ("..", "JOB"), ("....", "JOB"), (".wav", "JOB"), (" . .mp3", "JOB"),
    ("\u202e\u2066.wav", "JOB"), ("\x00\x1f.wav", "JOB"), ("\u3000", "JOB"),
    (".hidden.wav", "hidden"),
    ("...And Justice.wav", "And Justice"),
    ("a\tb\r\nc\u2028d.wav", "a b c d"),
    ("a\x00b\x7fc.wav", "abc"),
    ("evil\u202egpj.wav\u202c", "evilgpj"),
    ('say "hi" <now>: a|b? *.wav', "say _hi_ _now__ a_b_ _"),
    ("half \ud800 character.wav", "half character"),
    ("100%.wav", "100%"),
    ("e\u0301tude.wav", "\u00e9tude"),
    ("\u65e5\u672c\u8a9e.mp3", "\u65e5\u672c\u8a9e"),
    ("\U0001f468\u200d\U0001f3a4.ogg", "\U0001f468\u200d\U0001f3a4"),
    ("CON.wav", "_CON"), ("nul", "_nul"), ("com1.mix.wav", "_com1.mix"),
    ("LPT\u00b9.wav", "_LPT\u00b9"), ("aux .b.wav", "_aux .b"),
    ("\uff23\uff2f\uff2e.wav", "_\uff23\uff2f\uff2e"),
    ("console.wav", "console"), ("com10.wav", "com10"), ("con - artist.wav", "con - artist"),
])  # fmt: skip
def test_songs(file_name: str, song: str) -> None:
    assert song_of(file_name, "JOB") == song


@pytest.mark.parametrize(("letter", "count"), [("a", 180), ("\u00e9", 90), ("\u65e5", 60),
                                               ("\U0001f3a4", 45)])  # fmt: skip
def test_long_names_end_at_a_character(letter: str, count: int) -> None:
    assert song_of(letter * 400 + ".wav", "JOB") == letter * count
    fit = 179 // len(letter.encode())
    assert song_of(f"x{letter * 400}.wav", "JOB") == "x" + letter * fit


@given(st.text(), st.sampled_from([" - vocals.wav", ".zip"]))
def test_whatever_the_name_the_header_is_sound(file_name: str, behind: str) -> None:
    name = song_of(file_name, "JOB") + behind
    header = attachment(name)
    assert len(name.encode()) <= 200
    assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*\u202a-\u202e\u2066-\u2069]', name)
    assert not name.startswith((".", " "))
    plain, extended = re.fullmatch(
        r"attachment; filename=\"([ -!#-\[\]-~]+)\"; filename\*=UTF-8''([!#$&+.^_`|~%\w-]+)",
        header, re.ASCII).groups()  # fmt: skip
    assert unquote(extended, errors="strict") == name
    assert "%" not in plain
    assert name != plain or name.isascii()
    assert plain.endswith(behind)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_clients_read_the_name(text: str) -> None:
    name = song_of(text, "JOB") + ".zip"
    assert parse_options_header(attachment(name)) == ("attachment", {"filename": name})


def test_the_plain_form() -> None:
    assert attachment("Bj\u00f6rk \u2013 50% J\u00f3ga.zip") == (
        'attachment; filename="Bjork _ 50_ Joga.zip"; '
        "filename*=UTF-8''Bj%C3%B6rk%20%E2%80%93%2050%25%20J%C3%B3ga.zip")
    assert 'filename="___.wav"' in attachment('\uff02\uff0f\uff05.wav'), "they decompose to ASCII"
