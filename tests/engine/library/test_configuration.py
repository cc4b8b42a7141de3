"""A configuration comes from a stranger: it is understood or refused, and nothing in it runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from server.engine.library import configuration
from server.engine.library.configuration import stem_name, understood

PLAIN: dict[str, Any] = {
    "audio": {"chunk_size": 352800, "num_channels": 2, "sample_rate": 44100},
    "model": {"dim": 8}, "training": {"instruments": ["Lead Vocals", "Other"]},
    "inference": {"num_overlap": 4},
}  # fmt: skip


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    return {name: PLAIN.get(name, {}) | sections.get(name, {}) for name in {*PLAIN, *sections}}


def test_what_it_says() -> None:
    config = understood(PLAIN)
    assert config.instruments == ("lead_vocals", "other")
    assert (config.segment, config.overlap, config.target) == (352800, 0.75, None)
    assert not config.levelled and not understood(changed(training={"normalize": True})).levelled
    assert understood(changed(inference={"normalize": True})).levelled
    chunk = understood(changed(inference={"chunk_size": 1000}))
    assert chunk.segment == 1000, "of inference before that of audio, as in the packages"


def test_whole_numbers_and_nothing_may_be_written_otherwise() -> None:
    config = understood(changed(inference={"num_overlap": 2.0}, audio={"chunk_size": 352800.0}))
    assert (config.overlap, config.segment, type(config.segment)) == (0.5, 352800, int)
    assert understood(changed(training={"target_instrument": ""})).target is None


def test_what_is_left_empty_is_as_usual() -> None:
    for inference in (None, {}, {"chunk_size": None, "num_overlap": None, "normalize": None}):
        config = understood(PLAIN | {"inference": inference})
        assert (config.segment, config.overlap, config.levelled) == (352800, 0.5, False)
    empty = {"chunk_size": 352800, "num_channels": None, "sample_rate": None}
    assert understood(PLAIN | {"audio": empty}).segment == 352800


@pytest.mark.parametrize(("inference", "said"), [
    ({"num_overlap": 101}, "num_overlap: want at most 100"), ({"num_overlap": 0}, "whole number"),
    ({"chunk_size": 0}, "whole number"), ({"num_overlap": False}, "whole number"),
])  # fmt: skip
def test_numbers_out_of_reason(inference: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        understood(changed(inference=inference))


def test_stems() -> None:
    both = understood(PLAIN)
    assert both.recipe(2) == {"lead_vocals": (1, 0, 0), "other": (0, 1, 0)}
    one = understood(changed(training={"target_instrument": "Other"}))
    rest = {"other": (1, 0), "lead_vocals": (-1, 1)}
    assert one.recipe(1) == rest, "what it leaves of the mix is the other instrument"
    assert one.recipe(2) == {"other": (0, 1, 0), "lead_vocals": (0, -1, 1)}
    alone = {"instruments": ["a", "b", "c"], "target_instrument": "b"}
    assert understood(changed(training=alone)).recipe(1) == {"b": (1, 0)}
    for outputs in (1, 3, 0):
        with pytest.raises(ValueError, match="outputs for the instruments"):
            both.recipe(outputs)


@pytest.mark.parametrize(("name", "stem"), [
    ("Vocals", "vocals"), ("No Reverb", "no_reverb"), (" hh ", "hh"),
    ("lead-vocals", "lead-vocals"), (4, "4"), ("Kick (in)", "kick_in"),
])  # fmt: skip
def test_stem_names(name: object, stem: str) -> None:
    assert stem_name(name) == stem


@pytest.mark.parametrize("name", ["", "..", "/", "日本", "x" * 65, None.__class__])
def test_names_that_are_none(name: object) -> None:
    with pytest.raises(ValueError, match="no name of an instrument"):
        stem_name("" if name is type(None) else name)


@pytest.mark.parametrize("sections", [
    {"training": {"instruments": []}}, {"training": {"instruments": "vocals"}},
    {"training": {"instruments": ["a", "A"]}}, {"training": {"instruments": ["../../etc"] * 2}},
    {"training": {"target_instrument": "drums"}}, {"audio": {"sample_rate": 48000}},
    {"audio": {"num_channels": 1}}, {"training": {"channels": 1}},
    {"audio": {"chunk_size": 0}}, {"audio": {"chunk_size": True}}, {"audio": {"chunk_size": 1.5}},
    {"audio": {"chunk_size": 1 << 40}}, {"inference": {"num_overlap": 0}},
    {"audio": {"chunk_size": None}}, {"inference": {"normalize": "no"}},
    {"inference": {"num_overlap": 2.5}}, {"inference": {"num_overlap": float("inf")}},
    {"inference": {"num_overlap": float("nan")}}, {"inference": {"num_overlap": 1e300}},
])  # fmt: skip
def test_what_makes_no_sense(sections: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        understood(changed(**sections))


@pytest.mark.parametrize("content", [[], "text", None, {"training": []}, {"training": None}, {}])
def test_what_is_no_configuration(content: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        understood(content)


def test_tuples_are_lists_and_other_tags_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.dump(changed(model={"bands": (2, (4, 4))})))
    assert "!!python/tuple" in path.read_text()
    assert configuration.read(path).section("model")["bands"] == [2, [4, 4]]
    trace = tmp_path / "trace"
    for tag in ("object/apply:", "object/new:", "name:"):
        path.write_text(f"{yaml.dump(PLAIN)}\nx: !!python/{tag}os.mkdir ['{trace}']\n")
        with pytest.raises(yaml.YAMLError):
            configuration.read(path)
    assert not trace.exists()


@pytest.mark.parametrize(("said", "value"), [
    ("1e-3", 1e-3), ("1E5", 1e5), ("-2e+3", -2000.0), ("5e-05", 5e-5), ("1.5e3", 1500.0),
    ("+.5e1", 5.0), ("3.e2", 300.0), ("9.0e-05", 9e-5), (".inf", float("inf")), ("12", 12),
    ("'1e-3'", "1e-3"), ("1e", "1e"), ("e3", "e3"), ("1e3x", "1e3x"), ("1e-3.5", "1e-3.5"),
    ("0x1e3", 0x1E3), ("1e3 # a comment", 1000.0),
])  # fmt: skip
def test_numbers_with_an_exponent_are_numbers(said: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"x: {said}\n")
    found = configuration.read_yaml(path)["x"]
    assert (found, type(found)) == (value, type(value))


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(PLAIN))
    assert configuration.read(path).segment == 352800
    path.write_text(yaml.safe_dump(changed(audio={"chunk_size": 1234})))
    assert configuration.read(path).segment == 1234
    path.write_text("x" * (1 << 21))
    with pytest.raises(ValueError, match="megabyte"):
        configuration.read(path)
