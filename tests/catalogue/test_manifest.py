"""The manifest of results: one row for each song, whatever ended a run."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("obstore")

import pyarrow.parquet as pq  # noqa: E402
import structlog  # noqa: E402

from server.catalogue import manifest, storage  # noqa: E402
from server.catalogue.rows import Made, Output, Row, Seconds  # noqa: E402
from server.errors import StemboxError  # noqa: E402

TITLES = pa.schema([("title", pa.string())])


def row(name: str, minute: int, key: str | None, title: str = "t", **more: object) -> Row:
    made = key and Made(
        key=key, content_hash="c", model_digest="d", options="{}", duration=1.5,
        outputs=(Output("vocals", "songs/x/vocals.wav", 7, "h"),), seconds=Seconds(fetch=0.25),
    )  # fmt: skip
    ended = datetime(2026, 1, 1, 12, minute, tzinfo=UTC)
    values = {"input": name, "occurrence": 0, "version": f"v{minute}", "model": "m",
              "model_digest": "d", "options": "{}", "finished": ended, "made": made or None,
              "error": None if key else "broken", "others": (title,)}
    return Row(**values | more)


def write(output: Path, *rows: Row, others: object = TITLES) -> None:
    parts = manifest.Parts(str(output), others)
    for one in rows:
        parts.add(one)
    parts.flush()


def read(output: Path) -> list[dict[str, object]]:
    return pq.read_table(output / "manifest.parquet").to_pylist()


def test_rows_are_read_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, row("a", 0, "k"), row("b", 1, None))
    assert manifest.complete(str(tmp_path)) == 2
    first, second = read(tmp_path)
    assert first["outputs"] == [
        {"track": "vocals", "path": "songs/x/vocals.wav", "size": 7, "sha256": "h"}]  # fmt: skip
    assert (first["input"], first["key"], first["duration"], first["title"], first["error"]) == (
        "a", "k", 1.5, "t", None)  # fmt: skip
    assert first["seconds"]["fetch"] == 0.25
    assert (second["key"], second["outputs"], second["error"]) == (None, None, "broken")
    assert not list(tmp_path.glob("manifest-parts/*"))


def test_the_last_row_of_a_song_counts(tmp_path: Path) -> None:
    write(tmp_path, row("a", 0, None), row("b", 0, "k"))
    manifest.complete(str(tmp_path))
    write(tmp_path, row("a", 5, "later"), row("b", 0, "other options", options='{"x":1}'),
          row("b", 0, "second copy", occurrence=1))
    known = manifest.known(str(tmp_path))
    assert {song[:2]: one.key for song, one in known.items() if song[3] == "{}"} == {
        ("a", 0): "later", ("b", 0): "k", ("b", 1): "second copy"}  # fmt: skip
    assert manifest.complete(str(tmp_path)) == 4
    assert manifest.complete(str(tmp_path)) == 4  # again: nothing changes
    assert sorted(str(one["key"]) for one in read(tmp_path)) == [
        "k", "later", "other options", "second copy"]  # fmt: skip


def test_a_row_of_an_attempt_that_read_nothing_takes_no_results_place(tmp_path: Path) -> None:
    """Its store was away. What was read and failed is another matter: the song has changed."""
    write(tmp_path, row("a", 0, "k"), row("b", 0, "l"), row("c", 0, None, version=""))
    manifest.complete(str(tmp_path))
    write(tmp_path, row("a", 1, None, version=""), row("b", 1, None),
          row("c", 1, None, version="", error="later"))  # fmt: skip
    manifest.complete(str(tmp_path))
    assert {one["input"]: (one["key"], one["error"]) for one in read(tmp_path)} == {
        "a": ("k", None), "b": (None, "broken"), "c": (None, "later")}  # fmt: skip
    assert {song[0]: one.version for song, one in manifest.known(str(tmp_path)).items()} == {
        "a": "v0", "b": "v1", "c": ""}  # fmt: skip


def test_parts_that_outlived_the_manifest_that_took_them_in_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> None:
        raise KeyboardInterrupt

    write(tmp_path, row("a", 0, "k"), row("b", 0, "l"))
    with monkeypatch.context() as patched:
        patched.setattr(storage, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            manifest.complete(str(tmp_path))
    assert list(tmp_path.glob("manifest-parts/*"))
    write(tmp_path, row("c", 1, "m"))
    assert manifest.complete(str(tmp_path)) == 3
    assert sorted(str(one["key"]) for one in read(tmp_path)) == ["k", "l", "m"]


def test_runs_with_other_columns_share_a_manifest(tmp_path: Path) -> None:
    write(tmp_path, row("a", 0, "k"))
    write(tmp_path, row("b", 1, "l", title=1999), others=pa.schema([("year", pa.int64())]))
    manifest.complete(str(tmp_path))
    assert [(one["title"], one["year"]) for one in read(tmp_path)] == [("t", None), (None, 1999)]


def test_columns_that_the_input_has_corrected_are_corrected(tmp_path: Path) -> None:
    """Also new ones; the rest of the rows, and rows of other songs and recipes, stay."""
    write(tmp_path, row("a", 0, "k"), row("b", 0, "l"), row("c", 0, "m"),
          row("a", 0, "n", options="{1}"))  # fmt: skip
    manifest.complete(str(tmp_path))
    before = read(tmp_path)
    others = pa.schema([("title", pa.string()), ("year", pa.int64())])
    wanted = {("a", 0, "d", "{}"): ("T", 1999), ("b", 0, "d", "{}"): ("t", None)}
    manifest.Parts(str(tmp_path), others).correct(wanted)
    assert len(list(tmp_path.glob("manifest-parts/*"))) == 1
    assert manifest.complete(str(tmp_path)) == 4
    now = {(one["input"], one["options"]): one for one in read(tmp_path)}
    for one in before:
        corrected = {"title": "T", "year": 1999} if one["key"] == "k" else {"year": None}
        assert now[one["input"], one["options"]] == one | corrected
    manifest.Parts(str(tmp_path), others).correct(wanted)
    assert not list(tmp_path.glob("manifest-parts/*")), "all is as it is wanted"


def test_a_value_that_the_manifest_has_as_text_is_the_same(tmp_path: Path) -> None:
    write(tmp_path, row("a", 0, "k", others=(1999,)), others=pa.schema([("year", pa.int64())]))
    write(tmp_path, row("b", 0, "l", others=("?",)), others=pa.schema([("year", pa.string())]))
    manifest.complete(str(tmp_path))
    parts = manifest.Parts(str(tmp_path), pa.schema([("year", pa.int64())]))
    parts.correct({("a", 0, "d", "{}"): (1999,)})
    assert not list(tmp_path.glob("manifest-parts/*"))


@pytest.mark.parametrize(("runs", "kept"), [
    ([(pa.int64(), 1999), (pa.string(), "1999?")], ["1999", "1999?"]),
    ([(pa.string(), "1999?"), (pa.int64(), 1999)], ["1999?", "1999"]),
    ([(pa.int64(), 7), (pa.float64(), 0.5)], [7.0, 0.5]),
    ([(pa.int64(), 2**53 + 1), (pa.float64(), 0.5)], ["9007199254740993", "0.5"]),
    ([(pa.int64(), -1), (pa.uint64(), 2**64 - 1)], ["-1", "18446744073709551615"]),
    ([(pa.bool_(), True), (pa.int64(), 1), (pa.float64(), 0.5)], ["true", "1", "0.5"]),
    ([(pa.list_(pa.int64()), [1, 2]), (pa.list_(pa.string()), ["x"])], ["[1,2]", '["x"]']),
    ([(pa.struct([("a", pa.int64())]), {"a": 1}), (pa.string(), "x")], ['{"a":1}', "x"]),
    ([(pa.binary(), b"\xff"), (pa.int64(), 1)], ["/w==", "1"]),
    ([(pa.null(), None), (pa.date32(), date(1999, 1, 2)), (pa.int64(), 1)],
     [None, "1999-01-02", "1"]),
])  # fmt: skip
def test_a_column_whose_type_another_run_changed_is_one_that_holds_both(
    runs: list[tuple[object, object]], kept: list[object], tmp_path: Path
) -> None:
    for apart in (True, False):  # a manifest after each run, or the parts of all at once
        output = tmp_path / str(apart)
        for number, (arrow, value) in enumerate(runs):
            write(output, row(f"{number}", number, "k", others=(value,)),
                  others=pa.schema([("year", arrow)]))  # fmt: skip
            if apart:
                manifest.complete(str(output))
        assert manifest.complete(str(output)) == len(runs)
        assert [one["year"] for one in read(output)] == kept
        assert {one["input"] for one in read(output)} == {song[0] for song in
                                                          manifest.known(str(output))}  # fmt: skip


def test_rows_are_written_in_parts_while_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "ROWS", 3)
    parts = manifest.Parts(str(tmp_path), TITLES)
    for number in range(7):
        parts.add(row(f"{number}", 0, "k"))
    assert len(manifest.known(str(tmp_path))) == 6
    parts.flush()
    assert len(manifest.known(str(tmp_path))) == 7


def test_an_output_that_is_not_there_knows_nothing(tmp_path: Path) -> None:
    assert manifest.known(str(tmp_path / "new")) == {}
    assert manifest.complete(str(tmp_path / "new")) == 0


def test_a_part_that_lost_its_bytes_ends_no_run(tmp_path: Path) -> None:
    """A power cut may leave one."""
    write(tmp_path, row("a", 0, "k"))
    (empty := tmp_path / "manifest-parts" / "later.parquet").touch()
    with structlog.testing.capture_logs() as lines:
        assert len(manifest.known(str(tmp_path))) == manifest.complete(str(tmp_path)) == 1
    assert {line["part"] for line in lines} == {str(empty)}


@pytest.mark.parametrize("broken", [False, True])
def test_somebody_elses_file_of_that_name_is_left_as_it_is(tmp_path: Path, broken: bool) -> None:
    place = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"url": ["a.wav"], "artist": ["Ann"]}), place)
    if broken:
        place.write_bytes(place.read_bytes()[:100])
    before = place.read_bytes()
    for act in (manifest.known, manifest.complete):
        with pytest.raises(StemboxError, match="is no manifest of `stembox catalogue`"):
            act(str(tmp_path))
    assert place.read_bytes() == before


@pytest.mark.parametrize(("column", "arrow"), [
    ("finished", pa.string()), ("finished", pa.timestamp("us")), ("finished", None),
    ("options", None), ("input", None),
])  # fmt: skip
def test_a_manifest_that_another_tool_has_changed_is_left_as_it_is(
    column: str, arrow: object, tmp_path: Path
) -> None:
    """Where what a run reads of it has other types, or is not there."""
    write(tmp_path, row("a", 0, "k"))
    manifest.complete(str(tmp_path))
    place = tmp_path / "manifest.parquet"
    rows = pq.read_table(place)
    at = rows.schema.get_field_index(column)
    other = pa.nulls(1, rows[column].type) if arrow is None else rows[column].cast(arrow)
    pq.write_table(rows.set_column(at, column, other), place)
    for act in (manifest.known, manifest.complete):
        with pytest.raises(StemboxError, match="is no manifest of `stembox catalogue`, or no more"):
            act(str(tmp_path))


def test_a_manifest_that_another_tool_has_written_anew_is_one(tmp_path: Path) -> None:
    """It allows null where we do not, and has none."""
    write(tmp_path, row("a", 0, "k"))
    manifest.complete(str(tmp_path))
    rows = pq.read_table(tmp_path / "manifest.parquet")
    loose = pa.schema([field.with_nullable(True) for field in rows.schema])
    pq.write_table(rows.cast(loose), tmp_path / "manifest.parquet")
    write(tmp_path, row("b", 0, "l"))
    assert len(manifest.known(str(tmp_path))) == manifest.complete(str(tmp_path)) == 2
