"""Downloads in a browser: tracks, the mix as it is set, and the stem file."""

import re
from typing import Any

import pytest

from tests.studio.hearing import playing as playing

from .fakes import STEMS, FakeJob, FakeServer, music


def test_downloads(page: Any, server: FakeServer, playing: Any) -> None:
    with page.expect_download() as download:
        playing.locator('[data-track="vocals"] [data-action="download"]').click()
    assert download.value.suggested_filename == "vocals.wav"
    playing.locator('[data-track="drums"] [data-action="mute"]').click()
    playing.locator('[data-track="bass"] input').fill("-3")
    playing.locator("select").select_option("flac")
    with page.expect_download() as download:
        playing.locator('[data-action="download-mix"]').click()
    assert download.value.suggested_filename == "mix.flac"
    asked = server.requests[-1]
    assert "format=flac" in asked and "gain.bass=-3.0" in asked and "gain.vocals=0.0" in asked
    assert re.search(r"mute=(\w|%2C)*drums", asked)
    for action, path in (("download-all", "all"), ("download-stem", "stems.stem.m4a")):
        link = playing.locator(f'[data-action="{action}"]')
        assert link.get_attribute("href").endswith(path)


def test_there_is_no_mix_to_download_where_nothing_is_heard(playing: Any) -> None:
    mix = playing.locator('[data-action="download-mix"]')
    for track in STEMS:
        playing.locator(f'[data-track="{track}"] [data-action="mute"]').click()
    playing.locator('[data-action="download-mix"][aria-disabled="true"]').wait_for()
    assert mix.get_attribute("href") is None
    assert mix.get_attribute("title").startswith("There is no mix: every track is muted")
    mix.hover()  # a pointer on it is shown its title
    playing.locator('[data-track="bass"] [data-action="mute"]').click()
    playing.locator('[data-action="download-mix"][href*="gain.bass"]').wait_for()
    assert mix.get_attribute("title").startswith("The mix as it is set")
    playing.locator('[data-track="bass"] input').fill("-48")
    playing.locator('[data-action="download-mix"][aria-disabled="true"]').wait_for()
    playing.locator('[data-action="original"]').click()
    playing.locator('[data-action="download-mix"][href*="gain.mix=0.0"]').wait_for()


@pytest.mark.parametrize(("missing", "offered"), [
    ((), True), (("main", "harmonic"), True), (("drums",), False), (("vocals", "other"), False),
])  # fmt: skip
def test_the_stem_file_is_offered_where_there_are_its_four_stems(
    page: Any, server: FakeServer, url: str, missing: tuple[str, ...], offered: bool
) -> None:
    """An order may have named other stems, or a model that makes others."""
    tracks = {name: wave for name, wave in music(2).items() if name not in missing}
    job = server.add(FakeJob(tracks))
    job.complete()
    page.goto(f"{url}#/job/{job.id}")
    card = page.locator(f'[data-job="{job.id}"]')
    card.locator('[data-action="download-all"]').wait_for()
    assert card.locator("[data-track]").count() == 9 - len(missing)
    assert card.locator('[data-action="download-stem"]').is_visible() == offered
