"""What a client may say of a signed PUT: parts, content types, URLs spelled anew, long names."""

from urllib.parse import parse_qsl, quote, urlencode

import pytest
from starlette.requests import Request

from server.api.signing import BASE
from server.api.v1 import routes
from tests.api.putting import World, code
from tests.api.putting import play as play


@pytest.mark.parametrize(("part", "status"), [
    ("bytes 0-8/9", 200), ("bytes 0-8/18", 400), ("bytes 9-17/18", 400), ("bytes */18", 400),
    ("bytes 0-8/*", 400), ("nonsense", 400),
])  # fmt: skip
def test_a_part_is_not_taken_for_the_whole(play, part: str, status: int) -> None:
    async def test(world: World) -> None:
        url = (await world.ticket())["uploadUrl"]
        answer = await world.http.put(url, content=b"123456789", headers={"Content-Range": part})
        assert answer.status_code == status, answer.text

    play(test)


@pytest.mark.parametrize("kind", [
    None, "", "audio/mpeg", "audio/wav", "AUDIO/X-FLAC", "audio/ogg; codecs=opus", "video/mp4",
    "application/octet-stream", "Application/Octet-Stream", "application/ogg", "video/webm",
])  # fmt: skip
def test_where_no_type_was_chosen_the_bytes_decide(play, kind: str | None) -> None:
    async def test(world: World) -> None:
        for chosen in ({}, {"contentType": ""}):
            ticket = await world.ticket(**chosen)
            assert ticket["contentType"] == "audio/mpeg"
            assert (await world.put(ticket["uploadUrl"], b"x", kind))[0] == 200

    play(test)


def test_where_no_type_was_chosen_other_kinds_are_refused(play) -> None:
    async def test(world: World) -> None:
        url = (await world.ticket())["uploadUrl"]
        for kind in ("text/html", "image/png", "multipart/form-data; boundary=x"):
            assert code(await world.put(url, b"x", kind)) == (403, "INVALID_SIGNATURE")
        assert (await world.put(url))[0] == 200

    play(test)


@pytest.mark.parametrize(("chosen", "right", "wrong"), [
    ("audio/wav", ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "Audio/WAV;codec=1"],
     ["audio/mpeg", "application/octet-stream", None, "audio/wavpack"]),
    ("audio/mp3", ["audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3"], ["audio/wav", ""]),
    ("audio/x-m4a", ["audio/mp4", "audio/m4a", "audio/x-m4a"], ["audio/aac", "audio/mpeg"]),
    ("audio/x-flac", ["audio/flac", "audio/x-flac"], ["audio/ogg"]),
    ("application/ogg", ["audio/ogg", "application/ogg"], ["audio/flac"]),
    ('audio/mp4; codecs="mp4a.40.2, x"', ["audio/mp4", "audio/x-m4a;a=b"], ["text/html"]),
    ("chemical/x-xyz", ["chemical/x-xyz"], ["audio/mpeg"]),
    ("application/octet-stream", ["application/octet-stream"], ["audio/mpeg", None]),
])  # fmt: skip
def test_where_a_type_was_chosen_its_other_names_pass(
    play, chosen: str, right: list[str], wrong: list[str | None]
) -> None:
    async def test(world: World) -> None:
        ticket = await world.ticket(contentType=chosen)
        assert ticket["contentType"] == chosen
        for kind in wrong:
            assert code(await world.put(ticket["uploadUrl"], b"x", kind)) == (
                403,
                "INVALID_SIGNATURE",
            ), kind
        for kind in right:
            assert (await world.put(ticket["uploadUrl"], b"x", kind))[0] == 200, kind

    play(test)


def test_what_is_too_long_to_be_read(play) -> None:
    async def test(world: World) -> None:
        url = (await world.ticket())["uploadUrl"]
        answer = await world.put(url, b"x", "audio/ogg;".ljust(1025, ";"))
        assert code(answer) == (400, "INVALID_REQUEST")
        assert code(await world.put(f"{url}{'&a' * 128}", b"x")) == (400, "INVALID_REQUEST")
        answer = await world.put(f"{url}{'&a' * 100}", b"x", "audio/ogg;".ljust(1024, ";"))
        assert answer[0] == 200

    play(test)


@pytest.mark.parametrize("bad", ["audio", "audio/", "/x", "a/b\r\nX: y", "audio/mpeg;", "é/x"])
def test_what_is_no_content_type(play, bad: str) -> None:
    async def test(world: World) -> None:
        answer = await world.http.post(
            f"{BASE}/upload", json={"filename": "a.mp3", "contentType": bad}
        )
        assert answer.status_code == 400

    play(test)


def test_urls_spelled_anew(play) -> None:
    async def test(world: World) -> None:
        url = (await world.ticket(contentType="audio/mpeg"))["uploadUrl"]
        base, _, query = url.partition("?")
        pairs = parse_qsl(query)
        assert {name for name, _ in pairs} == {"expires", "max", "type", "signature"}
        assert all(quote(value, safe="") == value for _, value in pairs)
        everything = "".join(f"%{ord(c):02x}" for c in dict(pairs)["signature"])
        for other in (
            f"{base}?{urlencode(pairs[::-1])}",
            f"{base}?utm_source=a+b%2fc&{query}&_=17&fbclid=",
            f"{base}?{query}".replace(dict(pairs)["signature"], everything),
            f"{base.replace('input', '%69nput')}?{query}",
        ):
            assert (await world.put(other))[0] == 200, other
        for name, value in pairs:
            rest = [pair for pair in pairs if pair[0] != name]
            changed = value[:-1] + ("1" if value[-1] != "1" else "2")
            for wrong in (rest, [*rest, (name, changed)], [*pairs, (name, value)]):
                assert (await world.put(f"{base}?{urlencode(wrong)}"))[0] == 403, wrong

    play(test)


@pytest.mark.parametrize("name", ["é" * 509 + ".flac", "a" * 1019 + ".flac", "音" * 339 + ".flac"])
def test_long_names_are_shortened(play, name: str) -> None:
    async def test(world: World) -> None:
        assert len(name.encode()) <= 1024
        ticket = await world.ticket(filename=name)
        kept = (await world.uploads.find(ticket["uploadKey"])).file_name
        assert 240 < len(kept.encode()) <= 255
        assert kept.endswith(".flac")
        assert name.startswith(kept.removesuffix(".flac"))
        assert ticket["uploadKey"].endswith("/input.flac")

    play(test)


@pytest.mark.parametrize(("host", "start"), [
    ("stem_box:8000", "http://stem_box:8000/"),  # a usual name of a container
    ("songs.example.org", "http://songs.example.org/"), ("[::1]:8000", "http://[::1]:8000/"),
    ("evil.example/x?", "http://test:"), ("a b", "http://test:"), ("", "http://test:"),
])  # fmt: skip
def test_urls_are_of_the_host_that_was_asked(play, host: str, start: str) -> None:
    async def test(world: World) -> None:
        answer = await world.http.post(
            f"{BASE}/upload", json={"filename": "a.mp3"}, headers={"Host": host}
        )
        assert answer.json()["uploadUrl"].startswith(start)

    play(test)


def test_an_address_of_ipv6_is_written_as_one() -> None:
    """Where the client says nothing that is a host, and has come that way."""
    scope = {"type": "http", "headers": [], "server": ("::1", 8000)}
    assert routes._host(Request(scope)) == "[::1]:8000"
