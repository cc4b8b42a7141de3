"""The inferences of a preset: what is made of what, by numbers in place of sound."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from server.presets import Layout, lay_out
from server.presets.inferences import (
    Inference,
    files_between,
    inferences_of,
    inside_other,
    is_between,
    unwanted,
)
from server.stems import OUTPUTS
from server.tracks import MIX
from tests.presets.test_layout import KARAOKE, MADE, preset

ALL = "stems = ['vocals', 'instrumental', 'lead_vocals', 'backing_vocals', 'dry']" + KARAOKE


def laid(text: str = ALL, made: Mapping[str, Sequence[str]] = MADE) -> Layout:
    return lay_out("karaoke", preset(text), made)


def heard(model: str, stem: str, signal: float) -> float:
    """A model that is a number for each of its stems."""
    return signal * (1 + sum(map(ord, model + stem)) % 7) / 8


def played(inferences: Sequence[Inference], mix: float) -> dict[str, float]:
    """What is left in the end; whatever an inference reads must be there."""
    there = {MIX: mix}
    for number, step in enumerate(inferences):
        source = there[step.input]
        for signal in step.signals:
            own = sum(gain * heard(step.model, stem, source) for stem, gain in signal.of.items())
            there[signal.name] = own + signal.of_input * source + there.get(signal.onto, 0.0)
            assert not signal.onto or signal.onto in there
        for name in unwanted(inferences, number):
            there.pop(name, None)
    return there


def run(wanted: Sequence[str], layout: Layout | None = None) -> tuple[Inference, ...]:
    return inferences_of(layout or laid(), wanted, lambda model: {"lead": 0.5}.get(model, 0.25))


def test_a_chain_and_a_mean() -> None:
    vocals = 0.75 * heard("wide", "vocals", 2.0) + 0.25 * heard("deep", "vocals", 2.0)
    lead = heard("lead", "vocals", vocals)
    expected = {
        "vocals": vocals,
        "instrumental": 2.0 - vocals,
        "lead_vocals": lead,
        "backing_vocals": vocals - lead,
        "dry": heard("dereverb", "noreverb", lead),
    }
    for wanted in (
        list(expected),
        ["dry"],
        ["backing_vocals"],
        ["instrumental", "dry"],
        ["lead_vocals"],
        ["dry", "lead_vocals", "vocals"],
    ):
        there = played(run(wanted), 2.0)
        assert there == {MIX: 2.0, **{name: pytest.approx(expected[name]) for name in wanted}}


def test_only_what_is_needed_is_run() -> None:
    assert [step.model for step in run(["instrumental"])] == ["wide", "deep"]
    assert [step.model for step in run(["backing_vocals"])] == ["wide", "deep", "lead"]
    assert [(step.model, step.overlap) for step in run(["dry"])] == [
        ("wide", 0.25),
        ("deep", 0.25),
        ("lead", 0.5),
        ("dereverb", 0.25),
    ]
    special = laid(
        """[[steps]]
                      model = ["wide", "deep"]
                      stems = ["vocals", "other"]
                      weights = { vocals = [0, 1], other = [1, 0] }""",
        {"wide": ("other",), "deep": ("vocals",)},
    )
    assert [step.model for step in run(["vocals"], special)] == ["deep"]


def test_what_lies_between_is_counted_and_never_a_track() -> None:
    assert (
        files_between(())
        == files_between(run(["vocals"], laid("steps = [{ model = 'wide', stems = ['vocals'] }]")))
        == 0
    )
    steps = run(["dry"])
    names = [signal.name for step in steps for signal in step.signals]
    assert [name for name in names if not is_between(name)] == ["dry"]
    assert files_between(steps) == 2, "a mean and what it is added to; a step's input and output"
    assert files_between(run(["vocals", "dry"])) == 1, "a track is the next step's input"
    assert [unwanted(steps, number) for number in range(3)] == [
        [],
        [names[0]],
        [names[0], names[1]],
    ]


def test_the_rest_of_the_mix_where_the_vocals_come_late() -> None:
    text = """steps = [{ model = "wide", stems = { loud = "other" } },
                       { input = "loud", model = "lead", stems = ["vocals"] }]
              stems = ["vocals"]"""
    layout = laid(text)
    steps = run(OUTPUTS["BOTH"], layout)
    there = played(steps, 1.0)
    assert there["instrumental"] == pytest.approx(1 - there["vocals"])
    (rest,) = [signal for signal in steps[-1].signals if signal.name == "instrumental"]
    assert rest.onto == MIX, "all of it, wherever the step's own input is silent"


def test_other_takes_in_what_its_own_step_tells_apart() -> None:
    """And not what another finds in it, so that four stems add up whatever comes after."""
    text = """steps = [{ model = "four", stems = ["drums", "bass", "other", "vocals"] },
                       { input = "other", model = "six", stems = ["guitar"] },
                       { input = "other", model = "rest", stems = { rest = "x" } }]
              stems = ["drums", "bass", "other", "vocals", "guitar"]"""
    layout = laid(
        text,
        {"four": ("drums", "bass", "other", "vocals"), "six": ("guitar", "piano"), "rest": ("x",)},
    )
    four = ("drums", "bass", "other", "vocals")
    steps = run(four, layout)
    assert [step.model for step in steps] == ["four"]
    assert played(steps, 1.0) == {MIX: 1.0, **{stem: heard("four", stem, 1.0) for stem in four}}
    other = heard("four", "other", 1.0)
    assert played(run(["guitar"], layout), 1.0)["guitar"] == heard("six", "guitar", other)
    told = [*four, "guitar"]
    assert inside_other(run(told, layout)) == {"guitar"}
    made = {"six": (*told, "piano")}
    six = laid(f"steps = [{{ model = 'six', stems = {told} }}]", made)
    assert played(run(four, six), 1.0)["other"] == pytest.approx(
        sum(heard("six", stem, 1.0) for stem in ("other", "guitar", "piano"))
    )
    assert not inside_other(run(told, six))
    mean = laid(f"steps = [{{ model = ['six', 'sixth'], stems = {told} }}]",
                {**made, "sixth": made["six"]})  # fmt: skip
    assert not inside_other(run(told, mean))


def test_sums_of_a_models_stems() -> None:
    text = """steps = [{ model = "six", stems = { band = ["drums", "other"], "voice" = "vocals" } }]
              stems = ["voice", "band"]"""
    layout = laid(text, {"six": ("drums", "bass", "other", "vocals", "guitar", "piano")})
    (step,) = run(["band"], layout)
    (signal,) = step.signals
    assert signal.of == {"drums": 1.0, "other": 1.0, "guitar": 1.0, "piano": 1.0}, \
        "the step takes guitar and piano from nowhere else"  # fmt: skip
    assert np.isclose(played([step], 1.0)["band"], sum(heard("six", s, 1.0) for s in signal.of))
