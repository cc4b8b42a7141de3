"""What a manifest or a folder lists."""

from pathlib import Path

import msgspec
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("obstore")

import pyarrow.parquet as pq  # noqa: E402

from server.audio.sources.sniffing import SUPPORTED_FORMATS  # noqa: E402
from server.catalogue import locations  # noqa: E402
from server.catalogue.listing import Listing, read_listing  # noqa: E402
from server.catalogue.rows import table  # noqa: E402
from server.errors import StemboxError  # noqa: E402
from tests.catalogue.test_manifest import row  # noqa: E402


def inputs(listing: Listing) -> list[str]:
    return [entry.input for entry in listing.entries]


def columns(listing: Listing) -> list[dict[str, object]]:
    return [dict(zip(listing.others.names, entry.others, strict=True))
            for entry in listing.entries]  # fmt: skip


def test_csv_columns_stay_the_text_that_they_are(tmp_path: Path) -> None:
    file = tmp_path / "songs.csv"
    file.write_text('\ufeffisrc,path,note\n007,"a, b.wav","two\nlines"\n008,/c.wav,\n\n')
    listing = read_listing(str(file))
    assert inputs(listing) == [str(tmp_path / "a, b.wav"), "/c.wav"]
    assert columns(listing) == [
        {"isrc": "007", "path": "a, b.wav", "note": "two\nlines"},
        {"isrc": "008", "path": "/c.wav", "note": ""},
    ]


def test_json_lines_keep_types_and_mixed_values_as_text(tmp_path: Path) -> None:
    file = tmp_path / "songs.jsonl"
    file.write_text(
        '{"url": "s3://b/1.wav", "year": 1999, "gain": 1, "tags": ["x"], "id": 7}\n\n'
        '{"url": "s3://b/2.wav", "gain": 0.5, "id": "7", "error": "none"}\n'
    )
    listing = read_listing(str(file))
    assert inputs(listing) == ["s3://b/1.wav", "s3://b/2.wav"]
    assert columns(listing) == [
        {"url": "s3://b/1.wav", "year": 1999, "gain": 1, "tags": '["x"]', "id": "7",
         "error_listed": None},
        {"url": "s3://b/2.wav", "year": None, "gain": 0.5, "tags": None, "id": "7",
         "error_listed": "none"},
    ]
    assert listing.others.field("gain").type == pa.float64()
    assert listing.others.field("year").type == pa.int64()


@pytest.mark.parametrize(("values", "kept", "arrow"), [
    ("[7, 9223372036854775807]", [7, 2**63 - 1], pa.int64()),
    ("[7, 9223372036854775808]", ["7", "9223372036854775808"], pa.string()),
    ("[null, -9223372036854775809]", [None, "-9223372036854775809"], pa.string()),
    ("[0.5, 9007199254740993]", ["0.5", "9007199254740993"], pa.string()),
    ("[0.5, 1000000000000000000000000000000]", ["0.5", f"1{'0' * 30}"], pa.string()),
    ("[[18446744073709551616], 0]", ["[18446744073709551616]", "0"], pa.string()),
])  # fmt: skip
def test_a_number_that_its_column_does_not_hold_makes_it_text(
    values: str, kept: list[object], arrow: object, tmp_path: Path
) -> None:
    """And the rows can be written."""
    file = tmp_path / "songs.jsonl"
    lines = [f'{{"path": "{place}.wav", "id": {msgspec.json.encode(value).decode()}}}'
             for place, value in enumerate(msgspec.json.decode(values))]  # fmt: skip
    file.write_text("\n".join(lines))
    listing = read_listing(str(file))
    assert listing.others.field("id").type == arrow
    assert [line["id"] for line in columns(listing)] == kept
    written = table([row(entry.input, 0, "k", others=entry.others)
                     for entry in listing.entries], listing.others)  # fmt: skip
    assert written["id"].to_pylist() == kept
    assert written["path"].to_pylist() == ["0.wav", "1.wav"]


def test_parquet_keeps_types_and_a_column_may_have_the_name_of_one_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "songs.parquet"
    kinds = pa.array(["rock", "pop", "rock"]).dictionary_encode()
    table = pa.table({"input": ["a.wav", "b.wav", "a.wav"], "key": [1, None, 3], "kind": kinds,
                      "list": [[1.5], [], None]})
    pq.write_table(table, file)
    listing = read_listing(str(file))
    assert listing.others.names == ["input_listed", "key_listed", "kind", "list"]
    assert [(entry.input, entry.occurrence) for entry in listing.entries] == [
        (str(tmp_path / "a.wav"), 0), (str(tmp_path / "b.wav"), 0), (str(tmp_path / "a.wav"), 1),
    ]  # fmt: skip
    assert [row["list"] for row in columns(listing)] == [[1.5], [], None]
    assert [row["kind"] for row in columns(listing)] == ["rock", "pop", "rock"]


def test_a_folder_lists_its_audio_in_order_with_versions(tmp_path: Path) -> None:
    for name in ("b.WAV", "a/x #1.flac", "cover.jpg", "a/.mp3", "a/._x #1.flac", "z.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    listing = read_listing(str(tmp_path))
    assert inputs(listing) == [str(tmp_path / n) for n in ("a/x #1.flac", "b.WAV", "z.mp3")]
    before = listing.entries[2].version
    (tmp_path / "z.mp3").write_bytes(b"other bytes")
    assert before and read_listing(str(tmp_path)).entries[2].version != before


@pytest.mark.parametrize("out", ["stems", "stems/", "../songs/./stems"])
def test_stems_below_their_songs_are_no_songs(out: str, tmp_path: Path) -> None:
    for name in ("a.wav", "stems more/b.wav", "stems/songs/ab/key/1/vocals.flac"):
        file = tmp_path / "songs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    output = locations.resolve(out, str(tmp_path / "songs"))
    listing = read_listing(str(tmp_path / "songs"), output=output)
    assert inputs(listing) == [str(tmp_path / "songs" / n) for n in ("a.wav", "stems more/b.wav")]
    below = read_listing(str(tmp_path / "songs" / "stems more"), output=str(tmp_path / "songs"))
    assert len(below.entries) == 1
    with pytest.raises(StemboxError, match="stems cannot go where the songs are"):
        read_listing(str(tmp_path / "songs"), output=str(tmp_path / "songs"))


@pytest.mark.parametrize("source", ["songs", "songs/ab", "linked", "linked/songs"])
def test_the_folder_of_stems_is_no_folder_of_songs(source: str, tmp_path: Path) -> None:
    """Or the next run would separate them: `stembox catalogue songs --out .`"""
    (tmp_path / "out" / "songs" / "ab").mkdir(parents=True)
    (tmp_path / "out" / "songs" / "ab" / "a.wav").write_bytes(b"x")
    (tmp_path / "out" / "linked").symlink_to(tmp_path / "out")
    with pytest.raises(StemboxError, match="stems cannot go where the songs are"):
        read_listing(str(tmp_path / "out" / source), output=str(tmp_path / "out"))


@pytest.mark.parametrize("source", ["s3://b/out", "S3://b/out/", "s3://b//out", "s3://b/out/songs/ab"])
def test_a_bucket_has_one_spelling(source: str) -> None:
    output = locations.resolve("S3://b//out", "/")
    with pytest.raises(StemboxError, match="stems cannot go where the songs are"):
        read_listing(source, output=output)


@pytest.mark.parametrize("linked", [True, False])
def test_stems_are_no_songs_whatever_the_folder_is_called(linked: bool, tmp_path: Path) -> None:
    """Stems lie below the songs; the songs' folder has another name, or a link to the stems."""
    for name in ("a.wav", "stems/songs/ab/key/1/vocals.flac"):
        (tmp_path / "real" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "real" / name).write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    output = tmp_path / "real" / "stems"
    if not linked:
        output = output.rename(tmp_path / "out")
        (tmp_path / "real" / "stems").symlink_to(output)
    listing = read_listing(str(tmp_path / "link"), output=str(output))
    assert inputs(listing) == [str(tmp_path / "link" / "a.wav")]


def test_every_format_that_is_read_is_found_by_its_name(tmp_path: Path) -> None:
    for name in SUPPORTED_FORMATS:
        (tmp_path / f"song.{name}").touch()
    assert len(read_listing(str(tmp_path)).entries) == len(SUPPORTED_FORMATS)


@pytest.mark.parametrize(("name", "text", "why"), [
    ("a.csv", "artist,title\nx,y\n", "artist, title; --column says which"),
    ("a.csv", "path,title\na.wav\n", "line 2 has 1 fields, not 2"),
    ("a.csv", "path,path\na,b\n", "two columns have one name"),
    ("a.csv", "\ufeffpath;title\na.wav;b\n", "parted by semicolons or tabs"),
    ("a.csv", "path\ttitle\na.wav\tb\n", "parted by semicolons or tabs"),
    ("a.csv", 'path\n"a', "cannot be read"),
    ("a.csv", "path,title\n,b\n", "row 1: an empty name"),
    ("a.csv", "path,title\nftp://x/y,b\n", "row 1: ftp"),
    ("a.jsonl", '{"path": "a.wav"}\n{"path": null}\n', "row 2 names no file"),
    ("a.jsonl", '{"path": "a.wav"}\n[]\n', "line 2"),
    ("a.parquet", "no parquet", "cannot be read"),
    ("a.csv", "", "which column"),
])  # fmt: skip
def test_what_cannot_be_read_is_said(name: str, text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(StemboxError, match=why):
        read_listing(str(tmp_path / name))


@pytest.mark.parametrize("arrow", [
    pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.duration("ns"), pa.time64("ns"),
])  # fmt: skip
def test_times_to_the_nanosecond_stay_as_they_are(arrow: object, tmp_path: Path) -> None:
    """As pandas writes them."""
    times = pa.array([1_234_567, None], pa.int64()).cast(arrow)
    pq.write_table(pa.table({"path": ["a.wav", "b.wav"], "at": times}), tmp_path / "a.parquet")
    listing = read_listing(str(tmp_path / "a.parquet"))
    written = table([row(entry.input, 0, "k", others=entry.others)
                     for entry in listing.entries], listing.others)  # fmt: skip
    assert written["at"].type == arrow
    assert written["at"].combine_chunks().equals(times)


def test_a_date_beyond_the_calendar_is_said(tmp_path: Path) -> None:
    """What databases put where there is no end."""
    ends = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"path": ["a.wav"], "until": ends}), tmp_path / "a.parquet")
    with pytest.raises(StemboxError, match="cannot be read"):
        read_listing(str(tmp_path / "a.parquet"))


def test_the_column_that_is_asked_for_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,master\na.wav,b.wav\n")
    assert inputs(read_listing(str(tmp_path / "a.csv"), "master")) == [str(tmp_path / "b.wav")]
    with pytest.raises(StemboxError, match="no column 'x'; it has: path, master"):
        read_listing(str(tmp_path / "a.csv"), "x")


def test_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StemboxError, match="no audio file is below it"):
        read_listing(str(tmp_path))
    with pytest.raises(StemboxError, match="missing: there is no such folder"):
        read_listing(str(tmp_path / "missing"))
    (tmp_path / "song.wav").touch()
    with pytest.raises(StemboxError, match=r"song\.wav: a file, and no manifest"):
        read_listing(str(tmp_path / "song.wav"))
    with pytest.raises(StemboxError, match="no such manifest"):
        read_listing(str(tmp_path / "missing.csv"))
