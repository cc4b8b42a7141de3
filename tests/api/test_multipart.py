"""The form parser: names, limits, and bodies that come in pieces of any size."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.files.multipart import (
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    MAX_OVERHEAD,
    MAX_PREAMBLE,
    Form,
    boundary_of,
    check_length,
)
from server.errors import FileTooLarge, UploadRejected

LIMIT = 1 << 20


def part(disposition: str | bytes, data: bytes) -> bytes:
    if isinstance(disposition, str):
        disposition = disposition.encode()
    return b"--B\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + data + b"\r\n"


FILE = part('name="file"; filename="song.wav"', b"data")
END = b"--B--\r\n"


def parse(body: bytes, size: int = 1 << 16, limit: int = LIMIT) -> tuple[Form, bytes]:
    """The finished form and the file's bytes, from a body that comes `size` bytes at a time."""
    form = Form(b"B", limit)
    data = bytearray()
    for start in range(0, len(body), size):
        form.feed(body[start : start + size])
        data += form.take()
    form.finish()
    return form, bytes(data)


def rejected(body: bytes) -> str:
    with pytest.raises(UploadRejected) as caught:
        parse(body)
    return caught.value.message


@given(data=st.binary(min_size=1, max_size=200), size=st.integers(1, 64))
def test_pieces_of_any_size_make_the_same_file(data: bytes, size: int) -> None:
    tricky = data + b"\r\n--" + data + b"\r\n--C\r\n-"
    if b"\r\n--B" in tricky:
        return
    body = (
        part('name="first"', b"1")
        + part('name="file"; filename="song.wav"', tricky)
        + part('name="last"', "é".encode())
        + END
        + b"an epilogue"
    )
    form, file = parse(body, size)
    assert file == tricky
    assert form.file_bytes == len(tricky)
    assert form.file_name == "song.wav"
    assert form.fields == {"first": ["1"], "last": ["é"]}


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('name="file"; filename="../../etc/passwd"', "passwd"),
        (r'name="file"; filename="C:\\music\\song.wav"', "song.wav"),
        (r'name="file"; filename="a \"b\".wav"', 'a "b".wav'),
        ('name="file"; filename="a;b.wav"', "a;b.wav"),
        ('name="file"; filename="a %22b%22 50%25.wav"', 'a "b" 50%25.wav'),  # a browser's
        ('name="file"; filename=song.wav', "song.wav"),
        ('filename="song.wav"; name="file"', "song.wav"),
        ('name="file"; filename="naïve 🎵.wav"', "naïve 🎵.wav"),
        (b'name="file"; filename="na\xefve.wav"', "naïve.wav"),  # latin-1
        ("name=\"file\"; filename*=utf-8''na%C3%AFve.wav", "naïve.wav"),
        ("name=\"file\"; filename*=UTF-8'en'%2e%2e%2Fpasswd", "passwd"),
        ("name=\"file\"; filename*=iso-8859-1''na%EFve.wav", "naïve.wav"),
        ('name="file"; filename="plain.wav"; filename*=utf-8\'\'other.wav', "plain.wav"),
    ],
)
def test_file_names(disposition: str | bytes, name: str) -> None:
    form, file = parse(part(disposition, b"data") + END)
    assert (form.file_name, file) == (name, b"data")


@pytest.mark.parametrize(
    "parts",
    [
        b"",
        part('name="other"', b"1"),
        part('name="file"', b"data"),
        part('name="file"; filename=""', b"data"),
        part('name="file"; filename="../"', b"data"),
        part('name="audio"; filename="song.wav"', b"data"),
        part('name="audio"; filename="song.wav"', b"x" * (MAX_FIELD_BYTES + 1)),
    ],
)
def test_no_file_part(parts: bytes) -> None:
    assert rejected(parts + END) == "No filename provided"


def test_a_browser_form_with_another_input_left_empty() -> None:
    form, _ = parse(part('name="cover"; filename=""', b"") + FILE + END)
    assert form.file_name == "song.wav"


def test_two_files() -> None:
    sentence = "More than one file: send one in each request"
    assert rejected(FILE + FILE + END) == sentence
    assert rejected(FILE + part('name="b"; filename="b.wav"', b"") + END) == sentence


def test_an_empty_file() -> None:
    assert rejected(part('name="file"; filename="a.wav"', b"") + END) == "The file is empty"


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
@pytest.mark.parametrize("before", [
    b"", b"\r\n", b"\n\n", b"This is a form.\r\n", b"--C\r\nx--B\r\n--Bx\r\n\r\n",
    b"x" * (MAX_PREAMBLE - 4) + b"\r\n",
])  # fmt: skip
@pytest.mark.parametrize("blanks", [b"", b" \t"])
def test_what_stands_around_boundaries_is_no_part_of_the_form(
    before: bytes, blanks: bytes, size: int
) -> None:
    """RFC 2046, 5.1.1: a preamble, and blanks behind each boundary."""
    body = (part('name="first"', b"1") + FILE + END).replace(b"--B\r\n", b"--B%b\r\n" % blanks)
    form, data = parse(before + body, size)
    assert (form.file_name, data, form.fields) == ("song.wav", b"data", {"first": ["1"]})


def test_an_endless_preamble_is_no_form() -> None:
    pieces = [b"x" * 4096] * 100
    fed, error = fed_until_refused(Form(b"B", LIMIT), pieces)
    assert str(error) == "The body is not valid multipart/form-data"
    assert fed <= MAX_PREAMBLE


@pytest.mark.parametrize("cut", range(1, len(FILE) + len(END) - 3))
def test_a_truncated_body_is_rejected_wherever_it_ends(cut: int) -> None:
    with pytest.raises(UploadRejected):
        parse((FILE + END)[:cut])


@pytest.mark.parametrize(
    "body",
    [
        b"no multipart at all",
        b"--C\r\n",
        b"--B\r\nno colon\r\n\r\n",
        b"--B\r\n: x\r\n\r\n",
        b"--Bx\r\n",
        b"--B\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"--B\r\nA: " + b"b" * 10_000 + b"\r\n\r\n",
    ],
)
def test_malformed(body: bytes) -> None:
    assert rejected(body) == "The body is not valid multipart/form-data"


@pytest.mark.parametrize(
    "headers", [b"", b"Content-Type: audio/wav\r\n", b"Content-Disposition: attachment\r\n"]
)
def test_a_part_without_a_name(headers: bytes) -> None:
    assert "no name" in rejected(b"--B\r\n" + headers + b"\r\ndata\r\n" + END)


def test_fields_are_bounded() -> None:
    fields = [part(f'name="f{i}"', b"x") for i in range(MAX_FIELDS)]
    assert len(parse(b"".join(fields) + FILE + END)[0].fields) == MAX_FIELDS
    assert "16 form fields" in rejected(b"".join(fields) + part('name="one more"', b"x") + END)
    full = part('name="f"', b"x" * MAX_FIELD_BYTES)
    assert parse(full + FILE + END)[0].fields["f"] == ["x" * MAX_FIELD_BYTES]
    assert "64 KB" in rejected(part('name="f"', b"x" * (MAX_FIELD_BYTES + 1)) + FILE + END)


def test_the_limit_to_the_byte() -> None:
    body = part('name="file"; filename="a.wav"', b"x" * LIMIT) + END
    assert parse(body)[0].file_bytes == LIMIT
    body = part('name="file"; filename="a.wav"', b"x" * (LIMIT + 1)) + END
    with pytest.raises(FileTooLarge, match="File is larger than 1 MB"):
        parse(body)


def test_an_endless_epilogue_is_cut_off() -> None:
    with pytest.raises(FileTooLarge):
        parse(FILE + END + b"x" * (LIMIT + MAX_OVERHEAD))


def test_a_declared_length_is_refused_only_when_no_file_could_fit() -> None:
    check_length(LIMIT + MAX_OVERHEAD, LIMIT)
    with pytest.raises(FileTooLarge):
        check_length(LIMIT + MAX_OVERHEAD + 1, LIMIT)


@pytest.mark.parametrize(
    ("content_type", "sentence"),
    [
        ("", "No filename provided"),
        ("application/x-www-form-urlencoded", "No filename provided"),
        ("audio/wav", "No filename provided"),
        ("multipart/mixed; boundary=B", "No filename provided"),
        ("multipart/form-data", "names no boundary"),
        ("multipart/form-data; boundary=", "names no boundary"),
    ],
)
def test_content_types(content_type: str, sentence: str) -> None:
    with pytest.raises(UploadRejected, match=sentence):
        boundary_of(content_type)


def test_boundaries() -> None:
    assert boundary_of('Multipart/Form-Data; charset=utf-8; Boundary="a b"') == b"a b"
    with pytest.raises(UploadRejected, match="too long"):
        Form(b"B" * 1000, LIMIT)


@pytest.mark.parametrize("name", ["same", None])
def test_parts_are_counted_whatever_their_names(name: str | None) -> None:
    """Four megabytes of tiny parts are forty thousand: they end at the first few."""
    names = (name or f"n{number}" for number in range(40_000))
    body = b"".join(part(f'name="{one}"', b"") for one in names)
    pieces = [body[start : start + 4096] for start in range(0, len(body), 4096)]
    fed, error = fed_until_refused(Form(b"B", LIMIT), pieces)
    assert str(error) == f"More than {MAX_FIELDS} form fields"
    assert fed < 8192


def fed_until_refused(form: Form, pieces: Iterable[bytes]) -> tuple[int, Exception]:
    """How many bytes were taken, and what refused the next piece."""
    fed = 0
    for piece in pieces:
        try:
            form.feed(piece)
        except (UploadRejected, FileTooLarge) as error:
            return fed, error
        fed += len(piece)
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(
    ("before", "filler"),
    [(b"", b"\r\n"), (FILE + END, b"\r\n"), (FILE + END, b"--B\r\n"),
     (part('name="file"; filename="a.wav"', bytes(LIMIT)) + END, b"x")],
    ids=["line breaks first", "line breaks last", "boundaries last", "behind a large file"],
)
def test_what_is_no_byte_of_the_file_is_bounded_by_itself(before: bytes, filler: bytes) -> None:
    """However large a file may be, it gives no room for more than its own bytes."""
    form = Form(b"B", 500 * LIMIT)
    form.feed(before)
    pieces = [filler * (65536 // len(filler))] * 64
    fed, error = fed_until_refused(form, pieces)
    assert isinstance(error, FileTooLarge)
    assert "beside its file" in str(error)
    assert fed <= MAX_OVERHEAD


def test_a_file_with_what_surrounds_it_passes_to_the_byte() -> None:
    fields = b"".join(part(f'name="n{number}"', bytes(MAX_FIELD_BYTES)) for number in range(16))
    form, data = parse(fields + part('name="file"; filename="a.wav"', bytes(LIMIT)) + END)
    assert (len(form.fields), len(data)) == (16, LIMIT)
