"""The manifest of results: one row for each song, whatever ended a run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("obstore")

import pyarrow.parquet as pq  # noqa: E402

from server.catalogue import manifest, storage  # noqa: E402
from server.catalogue.rows import Made, Output, Row, Seconds  # noqa: E402

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
