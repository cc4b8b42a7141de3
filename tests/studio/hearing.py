"""A song whose tracks are one constant each, and what is heard of it in a browser."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .fakes import RATE, STEMS, FakeJob, FakeServer
from .tab import Tab, page_megabytes

# One constant a track: what is heard tells which tracks are, and how loud.
LEVELS = {"vocals": 512, "drums": 1024, "bass": 2048, "other": 4096, "harmonic": 32,
          "percussive": 64, "main": 128, "main_harmonic": 256, "main_percussive": 16,
          "mix": 8192}  # fmt: skip
ALL_STEMS = sum(LEVELS[name] for name in STEMS)
TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...more) {
  if (target instanceof AudioDestinationNode) {
    window.tap ??= new AnalyserNode(this.context, { fftSize: 32768 });
    connect.call(this, window.tap);
  }
  return connect.call(this, target, ...more);
};
window.heard = () => {
  const samples = new Float32Array(64);
  window.tap?.getFloatTimeDomainData(samples);
  return Math.round(samples.at(-1) * 32768);
};
"""


def constant(seconds: float) -> FakeJob:
    frames = round(seconds * RATE)
    return FakeJob({
        name: np.broadcast_to(np.array([[level, level]], np.int16), (frames, 2))
        for name, level in LEVELS.items()
    })  # fmt: skip


def until(page: Any, what: Callable[[], Any], seconds: float = 30) -> Any:
    """Polls until `what()` is true; the browser goes on meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        page.wait_for_timeout(30)
    raise AssertionError("what the test waits for never came")


def clock(page: Any) -> int:
    return int(page.evaluate("document.documentElement.dataset.clock"))


def heard(page: Any) -> int:
    return int(page.evaluate("window.heard()"))


def hears(page: Any, level: int) -> None:
    until(page, lambda: abs(heard(page) - level) <= 1)


def choose(page: Any, server: FakeServer, job: FakeJob, song: Path) -> Any:
    """Takes a song by the file input; returns its card."""
    server.songs.append(job)
    page.set_input_files("input[type=file]", song)
    card = page.locator(f'[data-job="{job.id}"]')
    card.wait_for()
    return card


@pytest.fixture
def playing(page: Any, server: FakeServer, song: Path) -> Any:
    return play_constants(page, server, song, 60)


def play_constants(page: Any, server: FakeServer, song: Path, seconds: int) -> Any:
    """The card of a song of constants that is done, and plays."""
    page.add_init_script(TAP)
    page.reload()
    job = constant(seconds)
    job.complete()
    card = choose(page, server, job, song)
    card.locator('[data-action="play"]').click()
    hears(page, ALL_STEMS)
    return card


def lane(card: Any, track: str = "vocals") -> Any:
    return card.locator(f'[data-track="{track}"] canvas')


def at(card: Any, part: float) -> dict[str, float]:
    """A place in the waveform, as an argument of `click`."""
    box = lane(card).bounding_box()
    return {"x": box["width"] * part, "y": box["height"] / 2}


DROP = """async ([name, type]) => {
  const goods = new DataTransfer();
  goods.items.add(new File([new Uint8Array(5000)], name, { type }));
  const send = (kind) => document.querySelector("main").dispatchEvent(
    new DragEvent(kind, { dataTransfer: goods, bubbles: true, cancelable: true }));
  send("dragenter"); send("dragover");
  const seen = document.documentElement.className;
  send("drop");
  return [seen, document.documentElement.className];
}"""


CLICK = """(part) => {
  const lane = document.querySelector('[data-track="vocals"] canvas');
  const { left, top, width } = lane.getBoundingClientRect();
  lane.setPointerCapture = () => undefined; // there is no pointer
  for (const kind of ["pointerdown", "pointerup"]) {
    lane.dispatchEvent(new PointerEvent(kind, { clientX: left + part * width, clientY: top }));
  }
}"""


@contextmanager
def an_hour(browser: Any, server: FakeServer, url: str) -> Iterator[Tab]:
    """A tab with a song of an hour that can be played."""
    job = constant(3600)
    job.complete()
    server.songs.append(job)
    tab = Tab(browser, url)
    tab.until("document.querySelector('main') !== null")
    tab.run(f"({DROP})(['hour.wav', 'audio/wav'])")
    tab.until("""document.querySelector('[data-action="play"]:enabled') !== null""")
    yield tab
    tab.close()


def seek_in_little_memory(tab: Tab, *parts: float) -> None:
    """Seeks to these parts of the hour, one after the other."""
    for part in parts:
        tab.run(f"({CLICK})({part})")
        tab.until(f"document.documentElement.dataset.clock > {(3600 * part + 2) * RATE}")
        assert page_megabytes() < 150
