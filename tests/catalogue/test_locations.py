"""How files are named."""

import pytest

from server.catalogue import locations
from server.errors import StemboxError


@pytest.mark.parametrize(("name", "base", "location"), [
    ("a/b.wav", "/songs", "/songs/a/b.wav"),
    ("./b.wav", "/songs/", "/songs/b.wav"),
    ("../b.wav", "/songs/a", "/songs/b.wav"),
    ("b.wav", "/", "/b.wav"),
    ("/b//c.wav", "/songs", "/b/c.wav"),
    ("//b.wav", "/songs", "/b.wav"),
    ("file:///a%20b/c.wav", "/songs", "/a b/c.wav"),
    ("b c.wav", "s3://bucket/in", "s3://bucket/in/b c.wav"),
    ("b.wav", "s3://bucket/", "s3://bucket/b.wav"),
    ("s3://other/a%20b#?.wav", "/songs", "s3://other/a%20b#?.wav"),
    ("gs://bucket/b.wav", "s3://bucket/in", "gs://bucket/b.wav"),
])  # fmt: skip
def test_a_name_beside_a_manifest_has_one_location(name: str, base: str, location: str) -> None:
    assert locations.resolve(name, base) == location
    assert locations.split(location).location == location


@pytest.mark.parametrize(("name", "why"), [("ftp://host/a.wav", "ftp"), (" ", "empty")])
def test_what_no_store_reads_is_refused(name: str, why: str) -> None:
    with pytest.raises(StemboxError, match=why):
        locations.resolve(name, "/songs")


@pytest.mark.parametrize(("location", "parent"), [
    ("/a/b.csv", "/a"), ("/b.csv", "/"), ("s3://bucket/b.csv", "s3://bucket/"),
    ("s3://bucket/in/b.csv", "s3://bucket/in"),
])  # fmt: skip
def test_what_a_manifest_names_lies_beside_it(location: str, parent: str) -> None:
    assert locations.parent(location) == parent
    assert locations.resolve("x.wav", parent) == f"{parent.rstrip('/')}/x.wav"
