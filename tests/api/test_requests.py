"""What the bodies of the StemSplit API may hold at the most, and how they are refused."""

from typing import Any

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator

from server.api.v1 import openapi, wire
from server.api.v1.complaints import complaint
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


@pytest.mark.parametrize(("body", "is_order"), [
    ({"uploadKey": "u"}, True), ({"sourceUrl": "https://a.example"}, True),
    ({"uploadKey": "u", "sourceUrl": None}, True),
    ({"uploadKey": None, "sourceUrl": "https://a.example"}, True),
    ({"uploadKey": "u", "sourceUrl": "https://a.example"}, False),
    ({"uploadKey": None}, False), ({"uploadKey": None, "sourceUrl": None}, False), ({}, False),
])  # fmt: skip
def test_the_document_takes_what_the_server_takes(body: dict[str, Any], is_order: bool) -> None:
    document = openapi.document(load(environ={}))
    schema = {"$ref": "#/components/schemas/CreateJobRequest", **document}
    assert Draft202012Validator(schema).is_valid(body) is is_order
    order = decode(wire.CreateJobRequest, **body)
    assert ((order.upload_key is None) != (order.source_url is None)) is is_order


def test_the_document_has_the_default_events() -> None:
    document = openapi.document(load(environ={}))
    events = document["components"]["schemas"]["CreateWebhookRequest"]["properties"]["events"]
    default = decode(wire.CreateWebhookRequest, url="https://a.example").events
    assert list(events["default"]) == default == ["job.completed", "job.failed"]


OUTPUT_TYPES = "VOCALS, INSTRUMENTAL, BOTH, FOUR_STEMS, SIX_STEMS"


@pytest.mark.parametrize(("kind", "body", "said"), [
    (wire.CreateJobRequest, b'{"outputType": "TWO"}', f"outputType must be one of {OUTPUT_TYPES}"),
    (wire.CreateJobRequest, b'{"quality": "best"}', "quality must be one of FAST, BALANCED, BEST"),
    (wire.CreateJobRequest, b'{"outputFormat": null}', "outputFormat must be a string, not null"),
    (wire.CreateJobRequest, b'{"uploadKey": 5}',
     "uploadKey must be a string or null, not a whole number"),
    (wire.CreateJobRequest, b'{"metadata": "x"}',
     "metadata must be an object or null, not a string"),
    (wire.CreateJobRequest, b'{"stems": []}', "stems must not be empty"),
    (wire.CreateJobRequest, b'{"stems": ["vocals", true]}',
     "stems[1] must be a string, not true or false"),
    (wire.CreateJobRequest, b'{"stems": ["a b"]}',
     "stems[0] must match ^[a-z0-9][a-z0-9_-]{0,63}$"),
    (wire.CreateJobRequest, b"[1]", "The body must be an object, not a list"),
    (wire.CreateWebhookRequest, b"{}", "url is missing"),
    (wire.CreateWebhookRequest, b'{"url": "nope"}', "url must have 8 characters at least"),
    (wire.CreateWebhookRequest, b'{"url": "https://a.example", "events": ["x"]}',
     "events[0] must be one of job.completed, job.failed"),
    (wire.UploadRequest, b'{"filename": ""}', "filename must not be empty"),
    (wire.UploadRequest, b'{"filename": "%s"}' % (b"x" * 1025),
     "filename must have 1024 characters at most"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_the_words_of_who_sent_it(
    kind: type, body: bytes, said: str
) -> None:
    """No word of Python, and for an enumeration all that it allows."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(body, type=kind)
    assert complaint(refused.value, kind) == said
