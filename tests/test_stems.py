"""Stems made of sources: whole outputs add up to the mix, and what a model lacks is named."""

import re
from pathlib import Path

import numpy as np
import pytest

from server import stems
from server.errors import InvalidRequest, ModelError
from server.stems import (
    FOUR,
    MOST_STEMS,
    OUTPUTS,
    PARTS,
    PARTS_OF_OTHER,
    RESERVED,
    SIX,
    can_make,
    checked_stems,
    heard_at_first,
    own_sources,
    stem_gains,
    wants_six,
)


@pytest.mark.parametrize("output", ["FOUR_STEMS", "SIX_STEMS"])
def test_every_source_goes_into_one_stem(output: str) -> None:
    matrix = stem_gains(OUTPUTS[output], "six", own_sources(SIX))
    assert [sum(column) for column in zip(*matrix, strict=True)] == [1.0] * 6 + [0.0]


def test_vocals_and_instrumental_add_up_to_the_mix() -> None:
    matrix = stem_gains(OUTPUTS["BOTH"], "six", own_sources(SIX))
    assert [sum(column) for column in zip(*matrix, strict=True)] == [0.0] * 6 + [1.0]


@pytest.mark.parametrize(("stems", "rows"), [
    (("vocals",), [[0, 0, 0, 1, 0]]),
    (("instrumental",), [[0, 0, 0, -1, 1]]),
    (FOUR, [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]),
])  # fmt: skip
def test_of_four_sources(stems: tuple[str, ...], rows: list[list[int]]) -> None:
    assert stem_gains(stems, "four", own_sources(FOUR)) == rows


def test_other_keeps_only_what_nobody_wants_apart() -> None:
    assert stem_gains(("other", "piano"), "six", own_sources(SIX)) == [
        [0, 0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 0]]  # fmt: skip


@pytest.mark.parametrize(("stems", "sources", "lacking"), [
    (SIX, FOUR, "guitar, piano"), (("instrumental",), ("drums", "bass"), "instrumental"),
    (("vocals", "kazoo"), FOUR, "kazoo"),
])  # fmt: skip
def test_what_a_model_lacks_is_named(
    stems: tuple[str, ...], sources: tuple[str, ...], lacking: str
) -> None:
    with pytest.raises(ModelError, match=f"model small makes no {lacking}$"):
        stem_gains(stems, "small", own_sources(sources))


@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_stems_of_a_recipe_agree_whatever_is_asked_for(output: str) -> None:
    """Three outputs and the mix; the six rows add up to the mix alone."""
    rows = np.random.default_rng(0).normal(size=(6, 4))
    rows[5] = np.array([0, 0, 0, 1]) - rows[:5].sum(0)
    recipe = {stem: tuple(row) for stem, row in zip(SIX, rows, strict=True)}
    made = dict(zip(OUTPUTS[output], np.array(stem_gains(OUTPUTS[output], "m", recipe)),
                    strict=True))  # fmt: skip
    truth = dict(recipe, instrumental=np.array([0, 0, 0, 1]) - recipe["vocals"])
    if output == "FOUR_STEMS":
        truth["other"] = np.sum([recipe[stem] for stem in ("other", "guitar", "piano")], axis=0)
    for stem, row in made.items():
        np.testing.assert_allclose(row, truth[stem], atol=1e-12)
    if len(made) > 1:
        np.testing.assert_allclose(sum(made.values()), [0, 0, 0, 1], atol=1e-12)


def test_only_guitar_and_piano_need_six_sources() -> None:
    assert [name for name, stems in OUTPUTS.items() if wants_six(stems)] == ["SIX_STEMS"]


@pytest.mark.parametrize(("made", "wanted", "able"), [
    (FOUR, FOUR, True), (FOUR, SIX, False), (("vocals", "other"), OUTPUTS["BOTH"], True),
    (("kick", "snare"), ("snare",), True), (("kick",), OUTPUTS["INSTRUMENTAL"], False),
    (("instrumental",), OUTPUTS["INSTRUMENTAL"], True), (("instrumental",), OUTPUTS["BOTH"], False),
    (("vocals", "guitar"), ("other",), False), (("guitar", "piano"), ("other",), False),
    (("drums", "bass", "vocals", "guitar"), FOUR, False), (("guitar", "other"), ("other",), True),
    (None, ("anything",), True),
])  # fmt: skip
def test_what_can_be_made(
    made: tuple[str, ...] | None, wanted: tuple[str, ...], able: bool
) -> None:
    assert can_make(wanted, made) is able
    if made is not None and able:
        assert len(stem_gains(wanted, "m", own_sources(made))) == len(wanted)


def test_an_instrumental_of_its_own_stands_in_only_where_there_are_no_vocals() -> None:
    both = own_sources(("vocals", "instrumental"))
    assert stem_gains(OUTPUTS["BOTH"], "m", both) == [[1, 0, 0], [-1, 0, 1]]
    alone = own_sources(("instrumental",))
    assert stem_gains(("instrumental",), "m", alone) == [[1, 0]]


def test_what_is_left_beside_a_guitar_has_no_guitar() -> None:
    """A network that makes the guitar: the other instrument is what it leaves of the mix."""
    assert stem_gains(("other",), "m", {"guitar": (1, 0), "other": (-1, 1)}) == [[-1, 1]]
    three = own_sources(("vocals", "guitar", "other"))
    assert stem_gains(("other",), "m", three) == [[0, 0, 1, 0]]
    five = own_sources(("drums", "bass", "other", "guitar", "piano"))
    assert stem_gains(("other",), "m", five) == [[0, 0, 1, 1, 1, 0]], "all but its own are apart"


def test_stems_by_name() -> None:
    assert checked_stems(["kick", "snare", "kick"]) == ("kick", "snare")
    assert checked_stems([f"s{n}" for n in range(MOST_STEMS)])
    wrong = [[], [f"s{n}" for n in range(MOST_STEMS + 1)], ["Kick"], ["../x"], ["a b"], [""],
             ["a\n"], *([name] for name in RESERVED)]  # fmt: skip
    for names in wrong:
        with pytest.raises(InvalidRequest, match="stems"):
            checked_stems(names)


@pytest.mark.parametrize(("made", "heard"), [
    (FOUR, FOUR), (SIX, SIX), ((*FOUR, "kick", "lead", "instrumental"), FOUR),
    (("instrumental", "vocals", "drums"), ("instrumental", "vocals")),
    (("vocals", "lead"), ("vocals",)), (("instrumental", "kick", "guitar"), ("instrumental",)),
    (("drums", "snare", "bass"), ("drums", "bass")), (("kick", "snare"), ("kick", "snare")),
    (("guitar", "other"), ("guitar", "other")), (("vocals",), ("vocals",)),
    (("x", "y"), ("x", "y")),
])  # fmt: skip
def test_each_sound_is_heard_once(made: tuple[str, ...], heard: tuple[str, ...]) -> None:
    assert heard_at_first(made) == list(heard)


def test_what_is_still_inside_other_is_heard_with_it() -> None:
    assert heard_at_first(SIX, {"guitar"}) == [*FOUR, "piano"]
    assert heard_at_first(("guitar", "vocals"), {"guitar"}) == ["guitar", "vocals"]


def test_the_page_knows_the_same_parts() -> None:
    page = (Path(stems.__file__).parent / "studio/src/base/tracks.ts").read_text()
    told = re.search(r"const PARTS: .*?= {(.*?)};", page, re.S)
    assert told is not None
    listed = told[1].replace("...PARTS_OF_OTHER", ", ".join(f'"{p}"' for p in PARTS_OF_OTHER))
    parts = {line.partition(":")[0].strip(): tuple(re.findall(r'"(\w+)"', line))
             for line in listed.strip().splitlines()}  # fmt: skip
    assert parts == PARTS
