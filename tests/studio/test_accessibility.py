"""axe finds nothing: every state of the page, wide and narrow, light and dark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.studio.hearing import DROP, choose

from .axe import findings
from .fakes import FakeJob, FakeServer, music


class Stage:
    """Leads the page into a state."""

    def __init__(self, page: Any, server: FakeServer, song: Path) -> None:
        self.page, self.server, self.song = page, server, song
        self.job = FakeJob(music(20))

    def choose(self) -> Any:
        return choose(self.page, self.server, self.job, self.song)

    def done(self) -> Any:
        self.job.complete()
        card = self.choose()
        card.get_by_text("ready", exact=True).wait_for()
        return card

    def empty(self) -> None:
        self.page.locator('[data-action="demo"]').wait_for()

    def dragging(self) -> None:
        self.page.evaluate(DROP.replace('send("drop");', ""), ["song.wav", "audio/wav"])

    def uploading(self) -> None:
        self.page.route("**/process", lambda _: None)
        self.page.set_input_files("input[type=file]", self.song)
        self.page.locator(".card").get_by_text("sending").wait_for()

    def queued(self) -> None:
        self.job.queue = 3
        self.choose().get_by_text("waiting, place 3").wait_for()

    def separating(self) -> None:
        card = self.choose()
        self.job.advance(10)
        card.get_by_text("listen to 0:10").wait_for()

    def several(self) -> None:
        self.done()
        self.job = FakeJob(music(20, seed=2))
        self.separating()

    def tools(self) -> None:
        card = self.done()
        for key in ("m", "ArrowRight", "m", ".", "Shift+Period", "l", "ArrowRight", "l", "2", "g"):
            self.page.keyboard.press(key)
        card.locator('.spectrum[data-state="whole"]').wait_for()

    def original(self) -> None:
        card = self.done()
        self.page.keyboard.press("2")
        self.page.keyboard.press("o")
        card.locator(".player.original").wait_for()

    def failed(self) -> None:
        card = self.choose()
        self.job.error, self.job.state = "The model ran out of memory", "failed"
        card.get_by_text("could not be separated").wait_for()

    def refused(self) -> None:
        self.page.expected.append("Failed to load resource")
        self.server.refusal = (400, "Unsupported audio format: .aac")
        self.page.set_input_files("input[type=file]", self.song)
        self.page.locator(".card").get_by_text("Unsupported audio format").wait_for()

    def expired(self) -> None:
        self.page.expected.append("Failed to load resource")
        self.done()
        self.job.gone = True
        self.job = FakeJob(music(2))
        self.done()
        self.job.gone = True
        self.page.reload()
        self.page.get_by_text("Forget all 2 expired").first.wait_for()

    def away(self) -> None:
        self.page.expected.append("Failed to load resource")
        self.separating()
        self.server.away = True
        self.page.get_by_text("The server has not answered since").wait_for()

    def locked(self) -> None:
        self.page.expected.append("Failed to load resource")
        self.server.key = "sk_live_good"
        self.page.set_input_files("input[type=file]", self.song)
        self.page.get_by_label("This server wants a key").wait_for()

    def fetching(self) -> None:
        self.server.key = "sk_live_good"
        self.page.evaluate("sessionStorage.setItem('stembox.key', 'sk_live_good')")
        self.page.reload()
        card = self.done()
        self.server.held = True
        card.locator('[data-action="download-all"]').click()
        self.page.get_by_text("Fetching 12.0 MB: 50 %.").wait_for()

    def keyboard(self) -> None:
        self.done()
        self.page.keyboard.press("?")
        self.page.get_by_text("mute a track").wait_for()

    def removing(self) -> None:
        self.done().locator('[data-action="remove"]').click()
        self.page.get_by_role("dialog").wait_for()


STATES: list[Callable[[Stage], None]] = [
    Stage.empty, Stage.dragging, Stage.uploading, Stage.queued, Stage.separating, Stage.several,
    Stage.tools, Stage.original, Stage.failed, Stage.refused, Stage.expired, Stage.away,
    Stage.locked, Stage.fetching, Stage.keyboard, Stage.removing,
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("axe")


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_no_findings(
    page: Any, server: FakeServer, song: Path, state: Callable[[Stage], None]
) -> None:
    state(Stage(page, server, song))
    assert findings(page) == []


def test_it_would_find_something(page: Any) -> None:
    page.evaluate("""() => {
      const button = document.querySelector("[data-action=theme]");
      button.removeAttribute("aria-label");
      button.removeAttribute("title");
      document.querySelector("h1").style.color = "#999";
    }""")
    found = findings(page)
    assert any("button-name" in one for one in found)
    assert any("light color-contrast" in one for one in found)


COVERED = """() => {
  const focused = document.activeElement;
  const { left, top, width, height } = focused.getBoundingClientRect();
  const seen = document.elementFromPoint(left + width / 2, top + height / 2);
  const whole = focused.matches(".hidden") || focused.contains(seen) || seen?.contains(focused);
  return [focused.tagName, whole ? "" : focused.outerHTML];
}"""


@pytest.mark.parametrize("unfolded", [False, True])
@pytest.mark.parametrize(("width", "height"), [
    (1280, 420), (390, 664), (640, 360), (320, 568), (320, 256),
])  # fmt: skip
def test_nothing_covers_what_has_the_focus(
    page: Any, server: FakeServer, song: Path, width: int, height: int, unfolded: bool
) -> None:
    if unfolded and width > 719:
        pytest.skip("there is nothing to unfold")
    page.set_viewport_size({"width": width, "height": height})
    stage = Stage(page, server, song)
    stage.several()
    if unfolded:
        page.get_by_label("Tempo, key, markers").click()
    page.get_by_role("link", name="Songs").focus()
    for key in ("Tab", "Shift+Tab"):
        steps = 0
        while (found := page.evaluate(COVERED))[0] != "BODY":
            assert found[1] == ""
            steps += 1
            page.keyboard.press(key)
        assert steps > 20
        page.keyboard.press("Shift+Tab")
