"""What passes for a model here and what does not: names, listings, configurations, weights."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from msgspec import structs

from server.config import Config, load
from server.engine.library import catalog, choice
from server.errors import InvalidRequest
from server.starting import banner


def by_convention(folder: Path, content: str = "", **more: object) -> Path:
    """A whole model of the convention, by name of its folder; `content` in place of its text."""
    folder.mkdir(parents=True)
    said = {
        "model": "htdemucs", "training": {"instruments": ["kick", "snare"]},
        "audio": {"chunk_size": 44100}, "htdemucs": {"depth": 4}, **more,
    }  # fmt: skip
    (folder / "config.yaml").write_text(content or yaml.safe_dump(said))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(environ={}, flags={"server.data_dir": str(tmp_path)})


def names(config: Config) -> set[str]:
    return {model.name for model in catalog.installed(config)} - {"starter", "starter_fast"}


def test_what_is_only_half_fetched_is_no_model(config: Config) -> None:
    by_convention(config.data_dir / "models" / ".drums.part")
    assert names(config) == set() and catalog.refused(config) == []
    with pytest.raises(InvalidRequest, match="kick"):
        choice.making(["kick"], "BEST", config)
    by_convention(config.data_dir / "models" / "drums")
    assert names(config) == {"drums"}
    assert choice.making(["kick"], "BEST", config).name == "drums"


@pytest.mark.parametrize("name", ["model.v1", "two words", "x" * 65])
def test_a_name_that_nobody_can_ask_for_is_told_of(name: str, config: Config) -> None:
    folder = by_convention(config.data_dir / "models" / name)
    assert names(config) == set()
    ((found, reason),) = catalog.refused(config)
    assert (found.folder, reason) == (folder, "its name may have letters, digits, - and _")
    with pytest.raises(InvalidRequest, match="kick"):
        choice.making(["kick"], "BEST", config)


def test_a_folder_that_is_not_there_is_told_of(config: Config, tmp_path: Path) -> None:
    config = structs.replace(
        config, models=structs.replace(config.models, folders=[str(tmp_path / "unmounted")])
    )
    ((name, reason, folder),) = choice.refused(config)
    assert (name, folder) == ("unmounted", tmp_path / "unmounted") and "no such folder" in reason
    (tmp_path / "unmounted").mkdir()
    assert choice.refused(config) == []


ODD = [
    "x: !!bool q", 'x: !!int ""', 'x: !!float ""', "x: !!timestamp soon", "x: !!int []",
    "!!set x", "[", "\x00", "? [a]\n: b", "[" * 5000, "x: &x [*x]", "x: 2024-13-45",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("place", ["odd.yaml", "odd/odd.yaml", "odd/config.yaml", "odd/x.yaml"])
def test_a_listing_that_makes_no_sense_is_no_model(
    place: str, text: str, config: Config
) -> None:
    models = config.data_dir / "models"
    by_convention(models / "odd", text)
    (models / "odd" / "config.yaml").rename(models / place)
    by_convention(models / "sound")
    assert names(config) == {"sound"}
    assert choice.making(["kick"], "BEST", config).name == "sound"
    assert choice.serving("BEST", config).name == "starter"
    reasons = [reason for _, reason in catalog.refused(config)]
    assert len(reasons) == (place == "odd/config.yaml"), "no other file is a model's for certain"
    assert all(reason.startswith("config.yaml: ") and reason.isprintable() for reason in reasons)


@pytest.mark.parametrize(("said", "reason"), [
    ({"audio": {"chunk_size": 44100, "sample_rate": 48000}}, "sample_rate: want 44100"),
    ({"training": {"instruments": ["Vocals", "vocals"]}}, "has a name twice"),
    ({"inference": {"num_overlap": 2.5}}, "num_overlap is a whole number"),
    ("# Stück".encode("latin-1"), "can't decode byte 0xfc"),
    (b"audio: !chunks {}", "could not determine a constructor for the tag '!chunks'"),
])  # fmt: skip
@pytest.mark.parametrize("weights", ["model.safetensors", "model.ckpt"])
def test_a_configuration_that_is_not_understood_is_told_of(
    said: dict[str, object] | bytes, reason: str, weights: str, config: Config
) -> None:
    plain = said if isinstance(said, dict) else {}
    folder = by_convention(config.data_dir / "models" / "odd", **plain)
    if isinstance(said, bytes):
        (folder / "config.yaml").write_bytes(said)
    (folder / "model.safetensors").rename(folder / weights)
    assert names(config) == set() and not choice.find("odd", config)
    ((copy, found),) = catalog.refused(config)
    assert (copy.name, copy.folder) == ("odd", folder)
    assert found.startswith("config.yaml: ") and reason in found and found.isprintable()
    assert catalog.why_not("odd", config) == f"model odd is not used: {found}"
    assert f"  odd        not used: {found}" in banner(config, []).splitlines()
    (folder / weights).unlink()
    assert catalog.refused(config) == [], "without weights it is no model"


@pytest.mark.parametrize(("listing", "weights", "wanted"), [
    ("odd.yaml", "odd.ckpt", "model.ckpt"), ("config_odd.yaml", "model.ckpt", "model.ckpt"),
    ("config.yaml", "odd_v2.safetensors", "model.safetensors"),
])  # fmt: skip
def test_files_of_other_names_are_told(
    listing: str, weights: str, wanted: str, config: Config
) -> None:
    folder = by_convention(config.data_dir / "models" / "odd")
    (folder / "config.yaml").rename(folder / listing)
    (folder / "model.safetensors").rename(folder / weights)
    ((copy, reason),) = catalog.refused(config)
    assert (copy.name, copy.folder) == ("odd", folder)
    assert reason == f"rename its files to config.yaml and {wanted}"
    assert names(config) == set()
    (folder / weights).unlink()
    assert catalog.refused(config) == [], "without weights it is no model"


BANDS = {"freqs_per_bands": [2], "stereo": True}


@pytest.mark.parametrize("said", [
    {"model": BANDS | {"num_stems": float("inf")}}, {"model": BANDS | {"num_stems": []}},
    {"model": BANDS | {"num_stems": float("nan")}}, {"model": BANDS | {"num_stems": "9" * 5000}},
    {"model": {}}, {"model": [["htdemucs"]]}, {"model": BANDS | {"num_stems": 10**400}},
])  # fmt: skip
def test_a_configuration_that_makes_no_sense_is_refused(
    said: dict[str, object], config: Config
) -> None:
    folder = by_convention(config.data_dir / "models" / "odd", **said)
    by_convention(config.data_dir / "models" / "sound")
    assert names(config) == {"sound"}
    assert [copy.folder for copy, _ in catalog.refused(config)] == [folder]
    copy = catalog.whole("odd", folder)
    assert copy is not None and catalog.stems(copy) is None


@pytest.mark.parametrize("header", [
    b"null", b"[]", b'{"__metadata__": null}', b'{"__metadata__": {"klass": 1, "args": "[1]"}}',
    b'{"__metadata__": {"args": "{}", "kwargs": "[]"}}', b"[" * 5000, b"\xff",
    b'{"__metadata__": {"args": "[5]", "kwargs": "{}"}}',
])  # fmt: skip
@pytest.mark.parametrize("more", ["", "gains: .inf\n", "gains: [[a]]\n"])
def test_weights_whose_header_makes_no_sense(header: bytes, more: str, config: Config) -> None:
    folder = config.data_dir / "models"
    folder.mkdir(parents=True)
    (folder / "odd.yaml").write_text(f"models: [abcd]\n{more}licence: [1]\n")
    (folder / "abcd.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    found = next(model for model in catalog.installed(config) if model.name == "odd")
    assert (catalog.family(found), catalog.stems(found)) == (None, None)
    assert catalog.licence(found) is None and found.size == 8 + len(header)


def bomb(key: str) -> str:
    """Half a kilobyte whose text has a thousand million letters."""
    lists = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    return f"a0: &a0 [{', '.join(['lol'] * 10)}]\n{lists}{key.replace('BOMB', '*a8')}\n"


@pytest.mark.parametrize("key", [
    "model: BOMB", "family: BOMB", "licence: BOMB", "license: BOMB", "audio: BOMB",
    "training: {instruments: BOMB}", "training: {instruments: [BOMB]}",
    "training: {instruments: [a], target_instrument: BOMB}", "inference: {num_overlap: BOMB}",
])  # fmt: skip
def test_aliases_do_not_become_a_long_text(key: str, tmp_path: Path) -> None:
    """With so little memory to be had that the text would not fit."""
    sections = {"model": "htdemucs", "audio": "{chunk_size: 44100}",
                "training": "{instruments: [kick]}"}  # fmt: skip
    rest = "".join(f"{name}: {value}\n" for name, value in sections.items()
                   if not key.startswith(name))  # fmt: skip
    folder = by_convention(tmp_path / "models" / "odd", rest + bomb(key))
    folder = by_convention(tmp_path / "models" / "hub")
    (folder / "config.yaml").unlink()
    (tmp_path / "models" / "hub.yaml").write_text("models: [x]\n" + bomb("licence: BOMB"))
    (tmp_path / "models" / "x.safetensors").write_bytes(b"")
    script = f"""if True:
        import resource
        from server.config import load
        from server.engine.library import catalog
        config = load(environ={{}}, flags={{"server.data_dir": {str(tmp_path)!r}}})
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28),) * 2)
        print([(one.name, catalog.licence(one), catalog.stems(one))
               for one in catalog.installed(config) if not one.name.startswith("starter")],
              len(catalog.refused(config)) < 2)
        """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.stdout.strip() == "[('hub', None, None)] True", done.stderr


def test_others_are_looked_at_only_where_the_lists_do_not_do(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha", "beta", "gamma"):
        by_convention(config.data_dir / "models" / name)
    seen: list[str] = []
    whole = catalog.whole

    def looked_at(name: str, folder: Path) -> catalog.ModelFiles | None:
        seen.append(name)
        return whole(name, folder)

    monkeypatch.setattr(catalog, "whole", looked_at)
    assert choice.making(["guitar"], "BALANCED", config).name == "starter"
    assert set(seen) == {"htdemucs", "starter"}
    assert choice.making(["snare"], "BALANCED", config).name == "alpha"
    assert not {"beta", "gamma"} & set(seen), "the first that does is enough"
    for wanted, said in ((["kick", "kazoo"], "No model here makes kazoo"),
                         (["kick", "vocals"], "No model here makes all of kick, vocals")):
        with pytest.raises(InvalidRequest, match=f"^{said}$"):
            choice.making(wanted, "BALANCED", config)
    with pytest.raises(InvalidRequest, match=r"^alpha makes no vocals, instrumental$"):
        choice.making(["vocals", "instrumental", "kick"], "BALANCED", config, "alpha")
