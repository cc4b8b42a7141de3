"""The page over a real server: a song from its drop to its sound and files, and a restart."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf

from tests.e2e.conftest import write_song
from tests.harness import Server, serving
from tests.studio.hearing import TAP, clock, heard, until

PATIENCE = 240  # seconds: a busy machine fails no test


@pytest.fixture(scope="module")
def stembox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("studio") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds, long enough to listen before they are done."""
    return write_song(tmp_path_factory.mktemp("songs") / "Zoë – Live.wav", 40)


@pytest.fixture
def url(stembox: Server) -> str:
    return f"{stembox.url}/"


def choose(page: Any, song: Path) -> Any:
    page.add_init_script(TAP)
    page.reload()
    page.set_input_files("input[type=file]", song)
    card = page.locator("[data-job]")
    card.wait_for()
    return card


def ready(page: Any, card: Any) -> None:
    card.get_by_text("ready", exact=True).wait_for(timeout=PATIENCE * 1000)


def painted(page: Any, track: str) -> float:
    """How much of a track's canvas is not empty, 0 to 1."""
    return float(page.evaluate("""(track) => {
        const { canvas } = { canvas: document.querySelector(`[data-track="${track}"] canvas`) };
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, at) => at % 4 === 3 && value > 0).length / (data.length / 4);
    }""", track))


def test_from_a_song_to_its_sound_and_its_files(page: Any, stembox: Server, music: Path) -> None:
    card = choose(page, music)
    play = card.locator('[data-action="play"]:enabled')
    play.wait_for(timeout=PATIENCE * 1000)
    play.click()
    until(page, lambda: heard(page) != 0, PATIENCE)
    until(page, lambda: clock(page) > 44_100, PATIENCE)
    ready(page, card)
    job_id = card.get_attribute("data-job")
    for track in card.locator("[data-track]").all():
        name = track.get_attribute("data-track")
        until(page, lambda name=name: painted(page, name) > 0.01)
        href = track.locator('[data-action="download"]').get_attribute("href")
        assert href == f"download/{job_id}/{name}"
    page.keyboard.press("1")
    page.keyboard.press("Shift+Digit2")
    with page.expect_download() as download:
        card.locator('[data-action="download-mix"]').click()
    assert download.value.suggested_filename == "Zoë – Live - mix.wav"
    mix, rate = sf.read(download.value.path(), dtype="float32", always_2d=True)
    answer = httpx.get(f"{stembox.url}/download/{job_id}/vocals", timeout=60)
    vocals, _ = sf.read(io.BytesIO(answer.content), dtype="float32", always_2d=True)
    assert rate == 44_100
    assert np.abs(mix - vocals).max() < 1e-4, "the soloed track alone"
    for action, name in (("download-all", "Zoë – Live.zip"),
                         ("download-stem", "Zoë – Live.stem.m4a")):
        with page.expect_download() as download:
            card.locator(f'[data-action="{action}"]').click()
        assert download.value.suggested_filename == name


def test_a_restart_in_the_middle(page: Any, stembox: Server, music: Path) -> None:
    page.expected.append("Failed to load resource")
    card = choose(page, music)
    stembox.kill()
    page.get_by_text("The server has not answered since").wait_for(timeout=PATIENCE * 1000)
    stembox.start()
    page.get_by_text("The server has not answered since").wait_for(
        state="hidden", timeout=PATIENCE * 1000
    )
    ready(page, card)
    card.locator('[data-action="play"]').click()
    until(page, lambda: clock(page) > 44_100)


def test_the_demo_song(page: Any) -> None:
    page.locator('[data-action="demo"]').click()
    card = page.locator("[data-job]")
    ready(page, card)
    assert card.locator("[data-track]").count() == 9


def test_cancelling_removes_the_job(page: Any, stembox: Server, music: Path) -> None:
    card = choose(page, music)
    job_id = card.get_attribute("data-job")
    card.locator('[data-action="remove"]').click()
    until(page, lambda: stembox.get(f"/job/{job_id}").status_code == 404)
    assert page.locator(".card").count() == 0


def test_what_is_no_song(page: Any, tmp_path: Path) -> None:
    page.expected.append("Failed to load resource: the server responded with a status of 400")
    path = tmp_path / "letter.wav"
    path.write_bytes(b"Dear Sir or Madam, " * 1000)
    page.set_input_files("input[type=file]", path)
    card = page.locator('[data-phase="refused"]')
    card.wait_for()
    assert "Choose another file" in card.locator(".advice").inner_text()
