"""What a file that is no audio is, by its first bytes: for the sentence that refuses it."""

import re

_KINDS = tuple(
    (name, re.compile(pattern, re.DOTALL | re.IGNORECASE))
    for name, pattern in (
        ("an HTML page", rb"(?:<!--.*?-->|<\?xml[^>]*>|\s)*<(?:!doctype html|html|head|body)\b"),
        ("an SVG picture", rb"(?:<!--.*?-->|<\?xml[^>]*>|<!doctype svg[^>]*>|\s)*<svg\b"),
        ("an XML document", rb"<\?xml\b"),
        ("a JSON document", rb"\s*(?:\{\s*\"|\[\s*[\[{\"])"),
        ("a playlist (M3U)", rb"\s*#EXTM3U"),
        ("a playlist (PLS)", rb"\s*\[playlist\]"),
        ("an FFmpeg list of files", rb"ffconcat version"),
        ("a cue sheet", rb"(?:REM|PERFORMER|TITLE|FILE) [^\r\n]+\r?\n(?:.*?)(?:TRACK|FILE) "),
        ("a PDF document", rb"%PDF-"),
        ("a MIDI file (notes, no sound)", rb"MThd\0\0\0\x06|RIFF.{4}RMID"),
        ("a ZIP archive", rb"PK(?:\x03\x04|\x05\x06)"),
        ("a RAR archive", rb"Rar!\x1a\x07"),
        ("a 7-Zip archive", rb"7z\xbc\xaf\x27\x1c"),
        ("a gzip archive", rb"\x1f\x8b\x08"),
        ("an archive (xz)", rb"\xfd7zXZ\0"),
        ("an archive (bzip2)", rb"BZh[1-9]1AY&SY"),
        ("a tar archive", rb".{257}ustar"),
        ("a PNG picture", rb"\x89PNG\r\n\x1a\n"),
        ("a JPEG picture", rb"\xff\xd8\xff"),
        ("a GIF picture", rb"GIF8[79]a"),
        ("a WebP picture", rb"RIFF.{4}WEBP"),
        ("a HEIF picture", rb".{4}ftyp(?:heic|heix|mif1|avif|msf1)"),
        ("an SQLite database", rb"SQLite format 3\0"),
        ("a program", rb"\x7fELF|MZ.{58}"),
        ("an Ableton, Logic or other project, no sound", rb"<\?xml[^>]*>\s*<Ableton"),
        ("OptimFROG", rb"OFR "),
        ("TAK", rb"tBaK"),
        ("Shorten", rb"ajkg"),
        ("QOA", rb"qoaf"),
        ("an Audible book (encrypted)", rb".{4}\x57\x90\x75\x36"),
        ("LA (Lossless Audio)", rb"LA0[2-4]"),
        ("a tracker module", rb"Extended Module: |IMPM|.{44}SCRM|.{1080}(?:M\.K\.|FLT4|4CHN|6CHN)"),
        ("an AC-4 stream", rb"\xac[\x40\x41].{4}"),
    )
)  # fmt: skip


def kind_of(head: bytes) -> str | None:
    """A name for the bytes at the start of a file; None: they say nothing."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"),
                       (b"\xfe\xff", "utf-16")):  # fmt: skip
        if head.startswith(mark):  # a text that says in what it is written
            head = head[: len(head) & ~1].decode(name, "replace").encode()
            break
    for name, pattern in _KINDS:
        if pattern.match(head):
            return name
    return None
