"""Which audio formats are read, and how a file's bytes tell its format.

Only the table and the look at the bytes: no decoder is imported here, so that any process may
ask. The name of a file plays no part; it is only good for the sentence of an error.
"""

import re
from pathlib import Path
from typing import NamedTuple

from server.audio.sources.headers import dolby, foreign, isobmff
from server.audio.sources.headers.mpeg import is_adts, is_mpeg_audio, is_mpeg_audio_far
from server.audio.sources.headers.tags import behind_tags

_HEAD_BYTES = 1 << 16


class Container(NamedTuple):
    """A recognised file: the format's public name, and the FFmpeg demuxer that reads it."""

    format: str
    demuxer: str


def _signatures(
    *rows: tuple[str, str, bytes],
) -> tuple[tuple[Container, re.Pattern[bytes]], ...]:
    """Of rows of a format, its demuxer, and bytes that tell it."""
    return tuple((Container(name, demuxer), re.compile(pattern, re.DOTALL))
                 for name, demuxer, pattern in rows)  # fmt: skip


# The demuxer is named, never guessed by FFmpeg: some of its demuxers are playlists (HLS, concat,
# DASH, SDP) that open other files and addresses, and no stranger's upload may choose those.
_SIGNATURES = _signatures(
    ("wav", "wav", rb"(?:RIFF|RIFX|RF64|BW64).{4}WAVE"),
    ("wav", "w64", rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"),
    ("flac", "flac", rb"fLaC"),
    ("opus", "ogg", rb"OggS.{0,300}?OpusHead"),
    ("ogg", "ogg", rb"OggS"),
    ("aiff", "aiff", rb"FORM.{4}AIF[FC]"),
    ("au", "au", rb"\.snd|dns\."),
    ("caf", "caf", rb"caff\0\x01"),
    ("webm", "matroska", rb"\x1a\x45\xdf\xa3.{0,64}?webm"),
    ("mkv", "matroska", rb"\x1a\x45\xdf\xa3"),
    ("dts", "dts", rb"\x7f\xfe\x80\x01|\xfe\x7f\x01\x80"),
    ("dts", "dts", rb"\x1f\xff\xe8\x00\x07[\xf0-\xff]|\xff\x1f\x00\xe8[\xf0-\xff]\x07"),
    ("wma", "asf", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"),
    ("avi", "avi", rb"RIFF.{4}AVI[ \x19]"),
    ("flv", "flv", rb"FLV\x01"),
    ("mpg", "mpeg", rb"\0\0\x01\xba"),
    ("rm", "rm", rb"\.RMF\0\0"),
    ("wv", "wv", rb"wvpk.{4}[\x02-\x10]\x04"),
    ("tta", "tta", rb"TTA1"),
    ("ape", "ape", rb"MAC "),
    ("mpc", "mpc8", rb"MPCK"),
    ("mpc", "mpc", rb"MP\+[\x07\x17\x27]"),
    ("amr", "amr", rb"#!AMR"),
    ("dsf", "dsf", rb"DSD \x1c\0{7}"),
    ("dff", "iff", rb"FRM8.{8}DSD "),
    ("voc", "voc", rb"Creative Voice File\x1a"),
    ("thd", "truehd", rb".{4}\xf8\x72\x6f\xba"),
    ("mlp", "mlp", rb".{4}\xf8\x72\x6f\xbb"),
)
# Behind the rest of something else, as in a recording that begins in the middle.
_BEHIND_JUNK = _signatures(
    ("opus", "ogg", rb"OggS\0\x02\0{8}.{4}\0{4}.{4}\x01\x13OpusHead"),
    ("ogg", "ogg", rb"OggS\0\x02\0{8}.{4}\0{4}.{4}\x01.(?:\x01vorbis|\x7fFLAC|Speex   )"),
    # A pack's header of MPEG-2 or MPEG-1, and the one that must follow.
    ("mpg", "mpeg", rb"\0\0\x01\xba(?:[\x44-\x7f].{8}\xf8|[\x21-\x2f].{7})\0\0\x01[\xbb-\xef]"),
)
_JUNK = 1 << 14  # bytes: how far these are looked for
# By their structure: the formats without a signature, and those of many signatures.
_STRUCTURES = {
    "m4a": "mov", "mp4": "mov", "mov": "mov", "3gp": "mov", "ts": "mpegts", "ac3": "ac3",
    "eac3": "eac3", "mp3": "mp3", "aac": "aac",
}  # fmt: skip
SUPPORTED_FORMATS = tuple(dict.fromkeys((
    "wav", "mp3", "flac", "ogg", *(container.format for container, _ in _SIGNATURES),
    *_STRUCTURES,
)))  # fmt: skip


def sniff(path: Path) -> Container | None:
    """Recognises a file by its first bytes, behind any tags. None: no known audio."""
    with open(path, "rb") as file:
        start = behind_tags(file)
        file.seek(start)
        head = file.read(_HEAD_BYTES)
        for container, pattern in _SIGNATURES:
            if pattern.match(head):
                return container
        if foreign.kind_of(head):  # even where it holds sound, as an archive may
            return None
        name = isobmff.brand(file, start)
        for container, pattern in () if name else _BEHIND_JUNK:
            if pattern.search(head, 0, _JUNK):
                return container
        name = name or _structure(head)
        if name is None and is_mpeg_audio_far(file, path.stat().st_size):
            name = "mp3"
    return Container(name, _STRUCTURES[name]) if name else None


def _structure(head: bytes) -> str | None:
    """The format of what has no signature, only frames that must follow one another."""
    if name := dolby.ac3_kind(head):
        return name
    if dolby.is_transport_stream(head) or dolby.is_cut_transport_stream(head):
        return "ts"
    if name := dolby.cut_ac3_kind(head):
        return name
    if is_mpeg_audio(head):
        return "mp3"
    return "aac" if is_adts(head) else None


def suffix_of(file_name: str) -> str:
    """A name's suffix for an error message: `.aac`, lower case, letters and digits; or ``""``."""
    match = re.search(r"\.([A-Za-z0-9]{1,10})$", file_name)
    return f".{match[1].lower()}" if match else ""
