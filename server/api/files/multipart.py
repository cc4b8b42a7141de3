"""One multipart/form-data body, parsed as it arrives (RFC 7578). No I/O and no asyncio here.

The parser pushes; `Form` holds the file's bytes only until they are taken.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from server.errors import FileTooLarge, UploadRejected
from server.names import clean_name

FILE_FIELD: Final = "file"
MAX_FIELDS: Final = 16  # besides the file
MAX_FIELD_BYTES: Final = 64 << 10
MAX_PREAMBLE: Final = 64 << 10  # bytes before the first boundary: who sends more sends no form
MAX_OVERHEAD: Final = 2 << 20  # bytes of a body besides the file: fields, headers, epilogue
NO_FILE: Final = "No filename provided"
NO_FORM: Final = "The body is not valid multipart/form-data"
# Old urllib3 sends names beyond ASCII so, although RFC 7578 forbids it in forms.
EXTENDED_NAME: Final = re.compile(r";\s*filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.I)
# What browsers write in names for a quote and the ends of lines alone (HTML, 4.10.21.8).
ESCAPED: Final = re.compile("%(22|0D|0A)")


def boundary_of(content_type: str) -> bytes:
    """The boundary that a `Content-Type` header of bounded length names.

    Raises:
        UploadRejected: not multipart/form-data, or without a boundary.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":  # whatever else it is, it has no part with a file
        raise UploadRejected(NO_FILE)
    if not options.get(b"boundary"):
        raise UploadRejected("The multipart/form-data body names no boundary")
    return options[b"boundary"]


def check_length(body_bytes: int, max_bytes: int) -> None:
    """Refuses a body that cannot but hold more than `max_bytes` of file. Raises `FileTooLarge`."""
    if body_bytes > max_bytes + MAX_OVERHEAD:
        raise _too_large(max_bytes)


class Form:
    """The state of one form: at most one file, and a few short fields.

    Attributes:
        file_name: cleaned base name, or None before the file part.
        file_bytes: bytes of the file seen so far.
        pending: those of them that nobody has taken yet.
        fields: the texts of the complete fields, in order where a name comes more than once.
    """

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._received = self._parts = self._fields_begun = 0
        self._preamble = 0  # bytes before the first boundary
        self._begun = self._ended = False
        self._header_name, self._header_value = bytearray(), bytearray()
        self._disposition = b""
        self._field: str | None = None  # None while the part is the file
        self._text = bytearray()
        self.file_name: str | None = None
        self.file_bytes = 0
        self.pending = bytearray()
        self.fields: dict[str, list[str]] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": _append_to(self._header_name),
                    "on_header_value": _append_to(self._header_value),
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise UploadRejected("The multipart boundary is too long") from error
        # The parser knows no preamble, nor blanks behind the first boundary (RFC 2046, 5.1.1): for
        # it a part without headers stands before what comes, and the first boundary is its second.
        self._parser.write(b"--%b\r\n\r\n\r\n" % boundary)

    def feed(self, data: bytes) -> None:
        """Parses the next piece of the body.

        Raises:
            UploadRejected: malformed, two files, a field too many or too long.
            FileTooLarge: the file, or what surrounds it, is over its limit.
        """
        self._received += len(data)
        if not self._begun:  # line breaks first, of any kind
            data = data.lstrip(b"\r\n")
            self._begun = bool(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise UploadRejected(NO_FORM) from error
        if self._received - self.file_bytes > MAX_OVERHEAD:
            raise FileTooLarge(f"The form has more than {MAX_OVERHEAD >> 20} MB beside its file")

    def take(self) -> bytearray:
        """The pending bytes of the file; they are the caller's then."""
        taken, self.pending = self.pending, bytearray()
        return taken

    def finish(self) -> str:
        """The name of the file, when the body is complete. Raises `UploadRejected`."""
        if self._begun and self._parts == 1 and not self._ended:
            raise UploadRejected(NO_FORM)
        if not self._ended:
            raise UploadRejected("The multipart/form-data body is incomplete")
        if self.file_name is None:
            raise UploadRejected(NO_FILE)
        if not self.file_bytes:
            raise UploadRejected("The file is empty")
        return self.file_name

    def _on_part_begin(self) -> None:
        self._parts += 1
        self._disposition = b""

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        if self._parts == 1:  # the preamble
            return
        field, file_name = _names(self._disposition)
        is_file = field == FILE_FIELD or bool(file_name)
        if is_file and self.file_name is not None:
            raise UploadRejected("More than one file: send one in each request")
        if is_file and (field != FILE_FIELD or not file_name):
            raise UploadRejected(NO_FILE)
        if is_file:
            self._field, self.file_name = None, file_name
        else:
            self._field = field
            self._fields_begun += 1  # whatever their names: each costs more than its bytes
            if self._fields_begun > MAX_FIELDS:
                raise UploadRejected(f"More than {MAX_FIELDS} form fields")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._parts == 1:
            self._preamble += end - start
            if self._preamble > MAX_PREAMBLE:
                raise UploadRejected(NO_FORM)
            return
        if self._field is not None:
            self._text += data[start:end]
            if len(self._text) > MAX_FIELD_BYTES:
                raise UploadRejected(f"A form field is larger than {MAX_FIELD_BYTES >> 10} KB")
            return
        self.file_bytes += end - start
        if self.file_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self.pending += memoryview(data)[start:end]

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.fields.setdefault(self._field, []).append(self._text.decode(errors="replace"))
            self._text.clear()

    def _on_end(self) -> None:
        self._ended = True


def _too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(f"File is larger than {max_bytes >> 20} MB")


def _names(disposition: bytes) -> tuple[str, str]:
    """Field name and cleaned file name ('' for none) of a part. Raises `UploadRejected`."""
    header = _text(disposition)
    # parse_options_header speaks latin-1: hand it the bytes one character each.
    kind, options = parse_options_header(disposition.decode("latin-1"))
    if kind != b"form-data" or not options.get(b"name"):
        raise UploadRejected("A part of the form has no name")
    plain = options.get(b"filename")
    extended = EXTENDED_NAME.search(header)
    if not plain and extended:
        return _text(options[b"name"]), clean_name(unquote(extended[2], extended[1]))
    return _text(options[b"name"]), clean_name(ESCAPED.sub(_unescaped, _text(plain or b"")))


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _text(raw: bytes) -> str:
    """Browsers and curl send UTF-8; what is none is read as latin-1, which never fails."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _append_to(buffer: bytearray) -> Callable[[bytes, int, int], None]:
    def append(data: bytes, start: int, end: int) -> None:
        buffer.extend(memoryview(data)[start:end])

    return append
