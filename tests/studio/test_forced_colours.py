"""The page in colours that the system forces on it: what says something by its colour is seen."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.hearing import choose

from .fakes import FakeJob, FakeServer

PIXELS = """async (png) => {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const { width, height } = image;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return [width, height, [...context.getImageData(0, 0, width, height).data]];
}"""
STAGE = """(item) => {
  const { left, top, height } = item.getBoundingClientRect();
  return { x: left, y: top + height / 2 - 5, width: 8, height: 10 };
}"""


def pixels(page: Any, box: dict[str, float]) -> np.ndarray[Any, Any]:
    """Of this part of the page: rows of columns of red, green, blue."""
    picture = base64.b64encode(page.screenshot(clip=box)).decode()
    width, height, values = page.evaluate(PIXELS, picture)
    return np.array(values).reshape(height, width, 4)[:, :, :3]


def stand_out(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return bool(np.abs(one - other).max() > 120)


@pytest.fixture(params=["light", "dark"])
def forced(page: Any, request: Any) -> None:
    page.emulate_media(forced_colors="active", color_scheme=request.param, reduced_motion="reduce")


@pytest.fixture
def card(page: Any, forced: None, server: FakeServer, job: FakeJob, song: Path) -> Any:
    card = choose(page, server, job, song)
    job.advance(10)
    card.get_by_text("separating 50 %").wait_for()
    return card


def test_how_far_a_song_is(page: Any, card: Any) -> None:
    line = pixels(page, card.locator(".progress").bounding_box())[0]
    assert stand_out(line[len(line) // 4], line[3 * len(line) // 4])


def test_a_fader_and_its_level(page: Any, card: Any) -> None:
    row = card.locator('[data-track="drums"]')
    row.locator(".level").evaluate("(level) => { level.style.transform = 'scaleX(0.5)'; }")
    level = pixels(page, row.locator(".meter").bounding_box())[1]
    assert stand_out(level[len(level) // 4], level[3 * len(level) // 4])
    fader = pixels(page, row.locator(".gain").bounding_box())
    middle, quarter = len(fader) // 2, fader.shape[1] // 4
    assert stand_out(fader[middle - 1:middle + 1, quarter], fader[2, quarter]), "its track"
    thumb = fader[2:-2].reshape(len(fader) - 4, -1, 3)
    assert stand_out(thumb[2].max(0), thumb[2].min(0)), "its handle"


def test_which_stage_is_under_way(page: Any, card: Any) -> None:
    items = card.locator(".stages li")
    assert items.first.get_attribute("data-status") == "processing"
    under_way, to_come = (
        pixels(page, items.nth(place).evaluate(STAGE)) for place in (0, 1)
    )
    assert stand_out(under_way, to_come)
    assert stand_out(to_come.max((0, 1)), to_come.min((0, 1))), "a circle"
