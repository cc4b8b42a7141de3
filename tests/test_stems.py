"""Stems made of sources: whole outputs add up to the mix, and what a model lacks is named."""

import pytest

from server.errors import ModelError
from server.stems import FOUR, OUTPUTS, SIX, stem_gains, wants_six


@pytest.mark.parametrize("output", ["FOUR_STEMS", "SIX_STEMS"])
def test_every_source_goes_into_one_stem(output: str) -> None:
    matrix = stem_gains(OUTPUTS[output], "six", SIX)
    assert [sum(column) for column in zip(*matrix, strict=True)] == [1.0] * 6 + [0.0]


def test_vocals_and_instrumental_add_up_to_the_mix() -> None:
    matrix = stem_gains(OUTPUTS["BOTH"], "six", SIX)
    assert [sum(column) for column in zip(*matrix, strict=True)] == [0.0] * 6 + [1.0]


@pytest.mark.parametrize(("stems", "rows"), [
    (("vocals",), [[0, 0, 0, 1, 0]]),
    (("instrumental",), [[0, 0, 0, -1, 1]]),
    (FOUR, [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]),
])  # fmt: skip
def test_of_four_sources(stems: tuple[str, ...], rows: list[list[int]]) -> None:
    assert stem_gains(stems, "four", FOUR) == rows


def test_other_keeps_only_what_nobody_wants_apart() -> None:
    assert stem_gains(("other", "piano"), "six", SIX) == [
        [0, 0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 0]]  # fmt: skip


@pytest.mark.parametrize(("stems", "sources", "lacking"), [
    (SIX, FOUR, "guitar, piano"), (("instrumental",), ("drums", "bass"), "instrumental"),
    (("vocals", "kazoo"), FOUR, "kazoo"),
])  # fmt: skip
def test_what_a_model_lacks_is_named(
    stems: tuple[str, ...], sources: tuple[str, ...], lacking: str
) -> None:
    with pytest.raises(ModelError, match=f"model small makes no {lacking}$"):
        stem_gains(stems, "small", sources)


def test_only_guitar_and_piano_need_six_sources() -> None:
    assert [name for name, stems in OUTPUTS.items() if wants_six(stems)] == ["SIX_STEMS"]
