"""File names in Content-Disposition headers: by the RFCs, and as servers write them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.names import clean_name
from server.net.disposition import file_name


@pytest.mark.parametrize(("header", "name"), [
    ('attachment; filename="b c.wav"', "b c.wav"),
    ("attachment; FileName = b.wav; x=y", "b.wav"),
    ("attachment;filename=b.wav", "b.wav"),
    ('inline; filename="b.wav"', "b.wav"),
    ('filename="b.wav"', "b.wav"),
    ("attachment; filename=my song.wav", "my song.wav"),
    ('attachment; filename="a;b=c.wav"; x=y', "a;b=c.wav"),
    (r'attachment; filename="say \"hi\".wav"', 'say "hi".wav'),
    (r'attachment; filename="a\\b.wav"', "b.wav"),
    (r'attachment; filename="C:\music\b.wav"', "b.wav"),
    ('attachment; filename="../../etc/b.wav"', "b.wav"),
    ('attachment; filename="b.wav', "b.wav"),
    ("attachment; filename*=UTF-8''na%C3%AFve.wav", "naïve.wav"),
    ("attachment; filename*=utf-8'en'%e2%82%ac%20rates.wav", "€ rates.wav"),
    ("attachment; filename*=iso-8859-1''na%EFve.wav", "naïve.wav"),
    ("attachment; filename=plain.wav; filename*=UTF-8''%C3%A9.wav", "é.wav"),
    ("attachment; filename*=UTF-8''%C3%A9.wav; filename=plain.wav", "é.wav"),
    ('attachment; filename="plain.wav"; filename*="UTF-8\'\'%C3%A9.wav"', "é.wav"),
    ("attachment; filename=plain.wav; filename*=UTF-8''%FF.wav", "plain.wav"),
    ("attachment; filename=plain.wav; filename*=utf-7''x.wav", "plain.wav"),
    ("attachment; filename=plain.wav; filename*=nonsense", "plain.wav"),
    ("attachment; filename=plain.wav; filename*=UTF-8''%2e%2e", "plain.wav"),
    ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fb.wav", "b.wav"),
    ("attachment; filename*=UTF-8''a%00%0d%0aX:%20y.wav", "aX: y.wav"),
    ('attachment; foo="x; filename=evil.wav"; filename=b.wav', "b.wav"),
    ('attachment; xfilename="evil.wav"; filename=b.wav', "b.wav"),
    ("attachment; filename=first.wav; filename=second.wav", "first.wav"),
    ('attachment; filename="50%25 off.wav"', "50%25 off.wav"),
    ("attachment", None), ("", None), ('attachment; filename=""', None),
    ('attachment; filename=".."', None), ("attachment; filename=", None), (";;;=;", None),
    ('attachment; filename="' + "é" * 600 + '.flac"', "é" * 125 + ".flac"),
])  # fmt: skip
def test_what_it_says(header: str, name: str | None) -> None:
    assert file_name(header) == name


@given(st.text(max_size=300))
def test_whatever_it_is_a_name_comes_out_clean(text: str) -> None:
    for header in (text, f"attachment; filename={text}", f'attachment; filename="{text}"',
                   f"attachment; filename*=UTF-8''{text}"):
        name = file_name(header)
        assert name is None or (name and clean_name(name) == name)


@pytest.mark.parametrize("piece", [
    "a", ";", "; ", " ", '"', '; a="', "\\", "=", ";a", "a=", "; a=b",
])  # fmt: skip
def test_it_takes_no_time_to_read_what_is_long(piece: str) -> None:
    began = time.process_time()
    file_name("attachment; filename" + piece * (100_000 // len(piece)))
    assert time.process_time() - began < 5  # a search that tries every place takes minutes
