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
    ("https://h/a%20b.wav?x=/1#y", "/songs", "https://h/a%20b.wav?x=/1#y"),
    ("./b c#?%20.wav", "http://h/in", "http://h/in/b%20c%23%3F%2520.wav"),
    ("S3://bucket/in/b.wav", "/songs", "s3://bucket/in/b.wav"),
    ("s3://bucket//in//b.wav", "/songs", "s3://bucket/in//b.wav"),
    ("HTTPS://h//in/b.wav", "/songs", "https://h//in/b.wav"),
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
    ("s3://bucket/in?/b.csv", "s3://bucket/in?"),
    ("https://h/in/b.csv?sig=a/b", "https://h/in"),
])  # fmt: skip
def test_what_a_manifest_names_lies_beside_it(location: str, parent: str) -> None:
    assert locations.parent(location) == parent
    assert locations.resolve("x.wav", parent) == f"{parent.rstrip('/')}/x.wav"


@pytest.mark.parametrize(("location", "name"), [
    ("/a/b?c%20.wav", "b?c%20.wav"), ("s3://bucket/in/b?c%20.wav", "b?c%20.wav"),
    ("HTTPS://h/in/b%20c.wav?sig=a/b.mp3", "b c.wav"), ("http://h/b.wav#t=1/2", "b.wav"),
])  # fmt: skip
def test_a_query_is_no_part_of_the_name(location: str, name: str) -> None:
    assert locations.name_of(location) == name


@pytest.mark.parametrize(("location", "web"), [
    ("https://host/a.wav", True), ("HTTP://host/a.wav", True), ("s3://host/a.wav?x", False),
    ("/https://host/a.wav", False), ("https://amazonaws.com.host/a.wav", True),
    ("https://bucket.s3.eu-west-1.amazonaws.com/a%20b.wav", False),
    ("https://bucket.s3.eu-west-1.amazonaws.com/a%20b.wav?X-Amz-Signature=1", True),
    ("https://account.blob.core.windows.net/songs/a.wav", False),
    ("https://account.blob.core.windows.net/songs/a.wav?sig=1", True),
])  # fmt: skip
def test_a_stores_own_address_is_a_key_unless_it_is_signed(location: str, web: bool) -> None:
    assert locations.is_web(location) is web
