"""Presets as the settings say them: what is wrong is said, and what is right is laid out."""

from pathlib import Path
from typing import Any

import pytest

from server.config import load
from server.errors import ConfigError
from server.presets import lay_out

KARAOKE = """
[[steps]]
model = ["wide", "deep"]
stems = ["vocals", "instrumental"]
weights = { vocals = [3, 1] }
[[steps]]
input = "vocals"
model = "lead"
stems = { lead_vocals = "vocals", backing_vocals = "instrumental" }
[[steps]]
input = "lead_vocals"
model = "dereverb"
stems = { dry = "noreverb" }
"""

MADE = {"wide": ("vocals", "other"), "deep": ("vocals", "instrumental"), "lead": ("vocals",),
        "dereverb": ("noreverb", "reverb")}  # fmt: skip


def preset(text: str, name: str = "karaoke") -> Any:
    return load(environ={f"STEMBOX_PRESETS__{name.upper()}": text}).presets[name]


def test_a_file_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        "[presets.karaoke]\n"
        + KARAOKE.replace("[[", "[[presets.karaoke.")
        + "[presets.Two-of-them]\nsteps = [{ model = ['a', 'b'] }]\n"
    )
    config = load(tmp_path / "own.toml", environ={"STEMBOX_PRESETS__LIKE_B": "steps=[{model='b'}]"})
    assert set(config.presets) == {"karaoke", "Two-of-them", "like_b"}
    assert config.presets["karaoke"] == preset(KARAOKE)
    assert config.presets["karaoke"].models == ("wide", "deep", "lead", "dereverb")
    assert load(environ={}).presets == {}


def test_what_is_laid_out() -> None:
    layout = lay_out("karaoke", preset(KARAOKE), MADE)
    assert layout.offers == ("instrumental", "backing_vocals", "dry"), "no step goes on with them"
    first = layout.stages[0]
    assert first.weights == {"vocals": (0.75, 0.25), "instrumental": (0.5, 0.5)}
    assert layout.stages[1].sources == {
        "lead_vocals": ("vocals",),
        "backing_vocals": ("instrumental",),
    }
    named = preset("stems = ['vocals', 'dry', 'vocals']" + KARAOKE)
    assert lay_out("karaoke", named, MADE).offers == ("vocals", "dry")
    rest = lay_out(
        "k", preset("steps = [{ model = 'lead' }]\nstems = ['vocals', 'instrumental']"), MADE
    )
    assert rest.offers == ("vocals", "instrumental"), "what the vocals leave of the mix"
    common = lay_out(
        "k", preset("steps = [{ model = ['a', 'b'] }]"), {"a": ("x", "y", "z"), "b": ("z", "x")}
    )
    assert common.offers == ("x", "z"), "what all of its models make"


@pytest.mark.parametrize(("text", "said"), [
    ("steps = 3", r"presets.karaoke.steps: Expected `array`"),
    ("stages = []", "unknown field `stages`"),
    ("stems = ['a']", "missing required field `steps`"),
    ("steps = [", "STEMBOX_PRESETS__KARAOKE: "),
    ("steps = []", "want one to 16 steps"),
    ("steps = [{ model = 'a', input = 'mix', gain = 1 }]", r"steps\[0\]: .*unknown field `gain`"),
    ("steps = [{ model = '../a' }]", "'../a' is no name of a model"),
    ("steps = [{ model = [] }]", "want one model or several"),
    ("steps = [{ model = ['a', 'a'] }]", "each once"),
    ("steps = [{ model = 'karaoke' }]", "karaoke is a preset: a step runs models"),
    ("steps = [{ model = 'a', stems = [] }]", "makes no stem"),
    ("steps = [{ model = 'a', stems = ['Lead'] }]", "'Lead' is no name of a stem"),
    ("steps = [{ model = 'a', stems = ['main'] }]", "what another track"),
    ("steps = [{ model = 'a', stems = { x = ['y', 'y'] } }]", "each once"),
    ("steps = [{ model = 'a', stems = { x = [] } }]", "of one stem"),
    ("steps = [{ model = ['a', 'b'], weights = [1] }]", "a weight for each of 2 models"),
    ("steps = [{ model = ['a', 'b'], weights = [0, 0] }]", "not all 0"),
    ("steps = [{ model = ['a', 'b'], weights = [-1, 2] }]", "0 or more"),
    ("steps = [{ model = ['a', 'b'], weights = [nan, 2] }]", "0 or more"),
    ("steps = [{ model = ['a', 'b'], stems = ['x'], weights = { y = [1, 1] } }]", "weights of y"),
    ("steps = [{ model = 'a', stems = ['x'] }, { model = 'b', stems = ['x'] }]",
     "step 2: an earlier step makes x, too"),
    ("steps = [{ model = 'a', input = 'x', stems = ['x'] }]", "input 'x' is neither 'mix' nor"),
    ("steps = [{ model = 'a', input = 'y', stems = ['x'] }, { model = 'b', stems = ['y'] }]",
     "step 1: its input 'y'"),
    ("steps = [{ model = 'a', stems = ['x'] }]\nstems = ['y']", "no step makes 'y'"),
    ("steps = [{ model = 'a', stems = ['vocals'] }]\nstems = ['instrumental']", "no step makes"),
    ("steps = [{ model = 'a', stems = ['x'] }]\nstems = []", "one to 32 stems"),
    (f"steps = [{{ model = 'a', stems = {[f's{n}' for n in range(33)]} }}]", "one to 32 stems"),
    ("steps = [{ model = 'a', stems = { x = 'mix' } }]", "'mix' is no name of a stem"),
    ("steps = [{ model = ['a', 'b'], weights = [1e308, 1e308] }]", "weights are 0 or more"),
    ("steps = " + 5000 * "[", "STEMBOX_PRESETS__KARAOKE: maximum recursion"),
])  # fmt: skip
def test_what_makes_no_sense_is_said(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        preset(text)


def test_a_name_is_one_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[presets.'a b']\nsteps = [{ model = 'a' }]\n")
    with pytest.raises(ConfigError, match="its name may have letters"):
        load(tmp_path / "own.toml", environ={})
    (tmp_path / "own.toml").write_text("presets = 3\n")
    with pytest.raises(ConfigError, match=r"'presets' in .* must be a section"):
        load(tmp_path / "own.toml", environ={})


@pytest.mark.parametrize(("text", "made", "said"), [
    ("steps = [{ model = 'a', stems = ['kazoo'] }]", {"a": ("x",)}, "model a makes no kazoo"),
    ("steps = [{ model = ['a', 'b'] }]", {"a": ("x",), "b": ("y",)}, "no stem in common"),
    ("steps = [{ model = 'a' }, { model = 'a' }]", {"a": ("x",)}, "step 2: an earlier step"),
    ("steps = [{ model = 'a' }, { model = 'b', input = 'y' }]", {"a": ("x",), "b": ("z",)},
     "step 2: its input 'y'"),
    ("steps = [{ model = 'a', weights = { y = [1] } }]", {"a": ("x",)}, "weights of y"),
])  # fmt: skip
def test_what_does_not_fit_its_models(
    text: str, made: dict[str, tuple[str, ...]], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        lay_out("karaoke", preset(text), made)


def test_what_could_not_be_asked_for_is_left_out() -> None:
    """A model's word is a stranger's: what is no name of a stem, or another track's, stays out."""
    made = {"a": ("mix", "Loud", "../x", "main", "y")}
    assert lay_out("k", preset("steps = [{ model = 'a' }]"), made).offers == ("y",)


def test_a_specialist_need_not_make_the_others_stems() -> None:
    text = """[[steps]]
              model = ["a", "b"]
              stems = ["x", "y"]
              weights = { x = [1, 0], y = [0, 1] }"""
    assert lay_out("k", preset(text), {"a": ("x",), "b": ("y",)}).offers == ("x", "y")
