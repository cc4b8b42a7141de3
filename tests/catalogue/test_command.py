"""The command by itself: what it says where it cannot begin, and what it leaves to do."""

import sys
from pathlib import Path

import pytest

from server import cli
from server.config import Config
from tests.catalogue.conftest import write_song


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "server.catalogue.command", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["catalogue", "songs", "--out", "stems"]) == 1
    assert "ray is missing: pip install 'stembox[catalogue]'" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "why"), [
    (["{}/nothing", "--out", "{}/out"], "there is no such folder"),
    (["{}/songs.csv", "--out", "{}/out"], "no such manifest"),
    (["{}", "--out", "ftp://host/out"], "ftp:// is not known"),
    (["{}", "--out", "{}/out", "--quality", "FAST"], "none of the models for FAST"),
    (["{}", "--out", "{}/out", "--address", "127.0.0.1:9"], "Ray cannot be reached"),
])  # fmt: skip
def test_what_cannot_be_run_is_said_in_one_line(
    arguments: list[str], why: str, tmp_path: Path, settings: Config,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for module in ("ray", "obstore", "pyarrow"):
        pytest.importorskip(module)
    write_song(tmp_path / "song.wav", 1)
    monkeypatch.setenv("STEMBOX_MODELS__BALANCED", "tiny")
    monkeypatch.setenv("STEMBOX_MODELS__FAST", "missing")
    filled = [text.format(tmp_path) for text in arguments]
    assert cli.main(["catalogue", *filled, "--data-dir", str(settings.data_dir)]) == 1
    told = capsys.readouterr().err
    assert why in told
    assert "Traceback" not in told


@pytest.mark.parametrize("wrong", [["--stations", "0"], ["--songs", "x"], []])
def test_wrong_usage_is_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["catalogue", "in", *wrong, *(["--out", "o"] if wrong else [])])
    assert ended.value.code == 2


def test_what_the_manifest_has_is_not_left_to_do(settings: Config, tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    pytest.importorskip("ray")
    import pyarrow as pa
    import pyarrow.parquet as pq
    from msgspec import structs

    from server.catalogue import manifest
    from server.catalogue.command import Songs
    from server.catalogue.listing import Listing, read_listing
    from server.catalogue.recipes import recipe_of
    from server.stems import FOUR
    from tests.catalogue.test_manifest import row

    for seed in range(4):
        write_song(tmp_path / "in" / f"{seed}.wav", seed, 0.1)
    recipe, output = recipe_of(settings, "BALANCED", FOUR, "FLAC"), str(tmp_path / "out")
    listing = read_listing(str(tmp_path / "in"))
    assert len(Songs(listing, output, recipe).entries) == 4
    parts = manifest.Parts(output, listing.others)
    for number, entry in enumerate(listing.entries[:3]):
        parts.add(row(entry.input, 0, None if number == 2 else "k", version=entry.version,
                      model_digest=recipe.digest, options=recipe.options, others=()))
    parts.flush()
    manifest.complete(output)
    write_song(tmp_path / "in" / "1.wav", 99, 0.2)  # changed; 2 has failed, 3 is new
    now = read_listing(str(tmp_path / "in"))
    songs = Songs(now, output, recipe)
    assert [entry.input[-5:] for entry in songs.entries] == ["1.wav", "2.wav", "3.wav"]
    assert songs.known == {0: listing.entries[1].version}
    assert len(Songs(now, output, structs.replace(recipe, digest="other")).entries) == 4
    songs.correct(now)
    assert not list((tmp_path / "out" / "manifest-parts").iterdir()), "there is nothing to correct"
    titled = Listing([structs.replace(entry, others=("t",)) for entry in now.entries],
                     pa.schema([("title", pa.string())]))  # fmt: skip
    Songs(titled, output, recipe).correct(titled)
    manifest.complete(output)
    titles = pq.read_table(tmp_path / "out" / "manifest.parquet")["title"]
    assert titles.to_pylist() == ["t"] * 3
    unlisted = Listing([structs.replace(entry, version="") for entry in now.entries], now.others)
    assert set(Songs(unlisted, output, recipe).known) == {0, 1}
