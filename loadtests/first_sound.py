"""From the drop of a song to its first sound in the real page, step by step.

`python -m loadtests.first_sound` starts a server and Debian's Chromium, and prints a table of
seconds; `--song FILE` takes a song of yours, `--seconds` makes one so long. Needs Playwright.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright
from tqdm import tqdm

from loadtests.figures import URL, Server, make_song

TRIES = 5
PATIENCE = 300_000  # milliseconds
# Presses play as soon as that can be done, and notes when each step is seen.
WATCH = """() => {
  const seen = window.seen = {};
  const note = (what, ms) => seen[what] ??= ms ?? performance.now();
  document.querySelector("input[type=file]").addEventListener(
    "change", () => note("dropped"), { capture: true });
  new PerformanceObserver((list) => {
    for (const { name, responseEnd } of list.getEntries()) {
      if (name.endsWith("/process")) note("upload answered", responseEnd);
      else if (name.includes("/window?")) note("first window", responseEnd);
    }
  }).observe({ type: "resource" });
  new MutationObserver(() => {
    const play = document.querySelector('[data-action="play"]');
    if (play && !play.disabled && !seen["play can be pressed"]) {
      note("play can be pressed");
      play.click();
    }
    const status = document.querySelector(".status");
    if (status?.textContent.includes("listen to")) note("stems are final");
    if (Number(document.documentElement.dataset.clock) > 0) note("first sound");
  }).observe(document.documentElement, { attributes: true, childList: true, subtree: true });
}"""
STEPS = ("upload answered", "play can be pressed", "first window", "stems are final", "first sound")


def one(browser: Any, song: Path) -> dict[str, float]:
    """Seconds from the choice of a song to each step, for somebody who was never here before."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(URL)
    page.locator("input[type=file]").wait_for(state="attached")
    page.evaluate(WATCH)
    page.set_input_files("input[type=file]", song)
    seen: dict[str, float] = {}
    while not set(STEPS) <= seen.keys():
        page.wait_for_timeout(50)
        seen = page.evaluate("window.seen")
    job_id = page.locator("[data-job]").get_attribute("data-job")
    context.close()
    httpx.delete(f"{URL}/job/{job_id}").raise_for_status()
    return {step: (seen[step] - seen["dropped"]) / 1000 for step in STEPS}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.first_sound", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--song", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        song = arguments.song or Path(folder) / "song.flac"
        if arguments.song is None:
            song.write_bytes(make_song(arguments.seconds))
        server = Server(Path(folder) / "data")
        try:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--mute-audio", "--autoplay-policy=no-user-gesture-required"],
            )
            found = [one(browser, song) for _ in tqdm(range(TRIES), unit=" songs")]
            browser.close()
        finally:
            server.stop()
    for step in STEPS:
        times = [times[step] for times in found]
        print(
            f"{step:<22} {statistics.median(times):6.2f} s   ({min(times):.2f} to {max(times):.2f})"
        )


if __name__ == "__main__":
    main()
