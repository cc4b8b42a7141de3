"""What is told of figures: the means, the tables, the picture."""

import numpy as np
import pytest

from server.starter.measuring import picture
from server.starter.measuring.report import Leak, Report, Score, SetResult, markdown, sdr_table

FOUR = ["drums", "bass", "vocals", "other4"]


def result(scores: list[Score], leaks: list[Leak] = ()) -> SetResult:
    return SetResult("made up", "by hand", 3.0, [7, 8], FOUR, scores, list(leaks))


def both(song: int, target: str, model: float, mix: float) -> list[Score]:
    return [Score(song, target, "model", model, model + 1, model - 1),
            Score(song, target, "mix", mix, mix, mix)]  # fmt: skip


@pytest.fixture
def measured() -> SetResult:
    scores = [*both(7, "drums", 1.0, -5.0), *both(8, "drums", 3.0, -7.0)]
    for target in FOUR[1:]:
        scores += both(7, target, 8.0, -2.0)
    leaks = [Leak(8, "bass", "model", -30.0), Leak(8, "bass", "mix", 0.0)]
    return result(scores, leaks)


def test_means_are_over_songs_then_over_targets(measured):
    assert measured.mean("drums", "model", "sdr") == 2.0
    assert measured.mean("mean of 4", "model", "sdr") == pytest.approx((2 + 8 + 8 + 8) / 4)
    assert measured.mean("mean of 4", "model", "frame_sdr") == pytest.approx(7.5)
    assert measured.mean("piano", "model", "sdr") is None
    assert measured.mean("mean of 6", "model", "sdr") is None
    assert measured.leak("bass", "model") == -30.0 and measured.leak("drums", "model") is None
    assert (measured.plays("drums"), measured.plays("bass")) == (2, 1)


def test_a_mean_is_a_line_only_where_all_its_targets_are(measured):
    assert measured.lines() == [*FOUR, "mean of 4"]


def test_the_table(measured):
    lines = sdr_table(measured).splitlines()
    assert lines[0] == "| SDR, dB   | songs | model |   mix |  gain |"
    assert lines[2] == "| drums     |     2 |  2.00 | -6.00 |  8.00 |"
    assert lines[-1] == "| mean of 4 |       |  6.50 | -3.00 |  9.50 |"
    assert len({len(line) for line in lines}) == 1


def test_the_report_says_what_is_missing_and_what_silence_gives(measured):
    absent = SetResult("other set", "of nothing", 3.0, [9], [], [], [], "apt-get install bells")
    text = markdown(Report("m", "00", [], 0.001, [measured, absent]))
    assert "2 songs of 3 s, from seed 7" in text and "-30.00" in text
    assert "**other set**: of nothing. Not measured here. apt-get install bells" in text
    assert "a peak of -60.0 dBFS out" in text
    assert "digital silence out" in markdown(Report("m", "00", [], 0.0, []))


def test_the_picture_has_a_row_for_each_measured_set(measured, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    heights = []
    for count in (1, 2):
        picture.draw(Report("m", "00", [], 0.0, [measured] * count), tmp_path / "q.png")
        pixels = image.imread(tmp_path / "q.png")
        heights.append(pixels.shape[0])
        assert np.ptp(pixels[..., :3]) > 0.9
    assert heights[1] == 2 * heights[0]


def test_without_figures_there_is_no_picture(tmp_path):
    picture.draw(Report("m", "00", [], 0.0, []), tmp_path / "q.png")
    assert not (tmp_path / "q.png").exists()
