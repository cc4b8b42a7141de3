"""What the bodies of the StemSplit API may hold at the most, and how they are refused."""

from typing import Any

import msgspec
import pytest

from server.api.v1 import openapi, wire
from server.config import load
from server.errors import AddressForbidden
from server.net import Guard
from tests.net.places import guarded


def decode(kind: type, **body: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind)


@pytest.mark.parametrize(("kind", "name"), [
    (wire.CreateJobRequest, "sourceUrl"), (wire.CreateJobRequest, "callbackUrl"),
    (wire.CreateWebhookRequest, "url"),
])  # fmt: skip
def test_urls_have_8192_characters_at_the_most(kind: type, name: str) -> None:
    for character in "xé":
        url = "https://a.example/".ljust(8192, character)
        decode(kind, **{name: url})
        guarded(Guard()).check_url(url)
        with pytest.raises(msgspec.ValidationError):
            decode(kind, **{name: f"{url}x"})
        with pytest.raises(AddressForbidden):
            guarded(Guard()).check_url(f"{url}x")


@pytest.mark.parametrize(("kind", "name"), [
    (wire.CreateJobRequest, "fileName"), (wire.UploadRequest, "filename"),
])  # fmt: skip
def test_names_have_1024_characters_at_the_most(kind: type, name: str) -> None:
    decode(kind, **{name: "é" * 1024})
    for wrong in ("", "x" * 1025):
        with pytest.raises(msgspec.ValidationError):
            decode(kind, **{name: wrong})


@pytest.mark.parametrize("kind", [
    "", "audio/mpeg", "audio/ogg; codecs=opus", 'audio/mp4;codecs="mp4a.40.2, mp4a"', "a/b ; c=d",
    "application/vnd.x+y",
])  # fmt: skip
def test_content_types(kind: str) -> None:
    decode(wire.UploadRequest, filename="a", contentType=kind)


@pytest.mark.parametrize("kind", [
    "audio", "audio/", "/mpeg", "audio/mpeg, audio/wav", "a/b\r\nX: y", 'a/b; c="d', "é/x",
    "a/b" + ";" * 200, "a/b" + "; c" * 80, "a/b" + " ;  " * 60 + "x", "x" * 300,
])  # fmt: skip
def test_what_is_no_content_type(kind: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(wire.UploadRequest, filename="a", contentType=kind)


@pytest.mark.parametrize(("body", "output", "whole"), [
    ({}, "BOTH", False), ({"model": "m"}, "BOTH", True), ({"outputType": "BOTH"}, "BOTH", False),
    ({"model": "m", "outputType": "BOTH"}, "BOTH", False), ({"stems": ["kick"]}, "BOTH", False),
    ({"model": "m", "stems": ["kick"]}, "BOTH", False),
    ({"model": "m", "outputType": "VOCALS"}, "VOCALS", False),
])  # fmt: skip
def test_a_model_alone_asks_for_all_that_it_makes(
    body: dict[str, object], output: str, whole: bool
) -> None:
    asked = decode(wire.CreateJobRequest, **body).asked()
    assert (asked["output_type"], asked.get("whole", False)) == (output, whole)


def test_the_document_has_the_default_output() -> None:
    document = openapi.document(load(environ={}))
    kind = document["components"]["schemas"]["CreateJobRequest"]["properties"]["outputType"]
    assert kind["default"] == "BOTH" and "SIX_STEMS" in kind["enum"]
