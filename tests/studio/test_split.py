"""StemSplit jobs in a browser, over a real server: from the drop to the sound and the files, from
the account's list, and without the credits."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf

from tests.e2e.calling import Caller, new_key
from tests.e2e.conftest import write_song
from tests.harness import Server, serving
from tests.studio.hearing import TAP, clock, heard, until

from .accounts import REFUSED, part, sign_in
from .test_real_server import PATIENCE, painted, ready

BUY = "https://example.com/buy"


@pytest.fixture(scope="module")
def stembox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("split") / "data", limits__max_upload_mb=8,
                 stemsplit__purchase_url=BUY) as running:
        yield running


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds, long enough to listen before they are done."""
    return write_song(tmp_path_factory.mktemp("songs") / "Zoë – Live.wav", 40)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("songs") / "short.wav", 3)


@pytest.fixture
def url(stembox: Server) -> str:
    return f"{stembox.url}/"


def choose(page: Any, song: Path, **choices: str) -> Any:
    """Makes a song a StemSplit job; returns its card."""
    page.get_by_role("link", name="Songs").click()
    page.get_by_label("Make of it").select_option("split")
    for name, value in choices.items():
        page.locator(f'[data-choice="{name}"]').select_option(value)
    page.set_input_files("input[type=file]", song)
    return page.locator(".card").first


def named(card: Any) -> str:
    card.and_(card.page.locator("[data-job]")).wait_for()
    name: str = card.get_attribute("data-job")
    return name


def test_from_a_song_to_its_stems(page: Any, stembox: Server, music: Path) -> None:
    page.add_init_script(TAP)
    page.reload()
    key = new_key(stembox, "ann", 60)
    assert page.get_by_label("Make of it").is_hidden(), "for accounts alone"
    sign_in(page, key)
    card = choose(page, music, outputType="FOUR_STEMS", quality="FAST", outputFormat="FLAC")
    play = card.locator('[data-action="play"]:enabled')
    play.wait_for(timeout=PATIENCE * 1000)
    job_id = named(card)
    ann = Caller(stembox, key)
    play.click()
    until(page, lambda: heard(page) != 0, PATIENCE)
    assert ann.http.get(f"/jobs/{job_id}").json()["status"] == "PROCESSING", "heard before its end"
    assert page.url.endswith(f"#/split/{job_id}")
    ready(page, card)
    card.get_by_text("Four stems · Fast · FLAC").wait_for()
    tracks = [row.get_attribute("data-track") for row in card.locator("[data-track]").all()]
    assert tracks == ["vocals", "drums", "bass", "other"]
    for track in tracks:
        until(page, lambda track=track: painted(page, track) > 0.01)
    before = clock(page)
    until(page, lambda: clock(page) > before + 22_050)
    with page.expect_download() as download:
        card.locator('[data-track="vocals"] [data-action="download"]').click()
    assert download.value.suggested_filename == "Zoë – Live - vocals.flac"
    vocals = sf.read(download.value.path(), dtype="float32")[0]
    url = ann.http.get(f"/jobs/{job_id}").json()["outputs"]["vocals"]["url"]
    assert np.array_equal(vocals, sf.read(io.BytesIO(httpx.get(url).content), dtype="float32")[0])
    page.keyboard.press("1")
    with page.expect_download() as download:
        card.locator('[data-action="download-mix"]').click()
    mix = sf.read(download.value.path(), dtype="float32")[0]
    assert np.abs(mix - vocals).max() < 1e-4, "the soloed track alone"
    with page.expect_download() as download:
        card.locator('[data-action="download-stem"]').click()
    assert download.value.suggested_filename == "Zoë – Live.stem.m4a"
    assert card.locator('[data-action="download-all"]').is_hidden(), "no such file of these jobs"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(hours=2))
    with page.expect_download() as download:
        card.locator('[data-track="bass"] [data-action="download"]').click()
    assert download.value.suggested_filename == "Zoë – Live - bass.flac"
    assert f"{stembox.url}/api/v1/jobs/{job_id}" in asked, "an old address is signed anew"
    assert key not in page.content() + page.evaluate("JSON.stringify({ ...localStorage })")


def test_from_the_list_and_after_a_reload(page: Any, stembox: Server, short: Path) -> None:
    key = new_key(stembox, "bea", 60)
    bea = Caller(stembox, key)
    job_id = bea.create(uploadKey=bea.upload(short, "By hand.wav"), outputType="BOTH",
                        quality="FAST", outputFormat="MP3").json()["id"]
    sign_in(page, key)
    jobs = part(page, "jobs")
    jobs.get_by_text("ready", exact=True).nth(1).wait_for(timeout=PATIENCE * 1000)
    part(page, "balance").get_by_text("59 min 57 s").wait_for()
    jobs.get_by_role("link", name="By hand.wav").click()
    card = page.locator(f'[data-job="{job_id}"]')
    ready(page, card)
    assert card.locator("[data-track]").count() == 2
    assert card.locator('[data-action="download-stem"]').is_hidden()
    page.reload()
    ready(page, card)
    play = card.locator('[data-action="play"]')
    play.click()
    until(page, lambda: clock(page) > 22_050)
    assert page.locator(".card").count() == 1
    card.locator('[data-action="remove"]').click()
    page.get_by_role("button", name="Remove", exact=True).click()
    until(page, lambda: bea.http.get(f"/jobs/{job_id}").json()["status"] == "EXPIRED")
    page.get_by_role("link", name="Account").click()
    jobs.get_by_text("expired", exact=True).nth(1).wait_for()
    assert jobs.get_by_role("link").count() == 0, "there is nothing to open"


@pytest.mark.parametrize("output", ["VOCALS", "INSTRUMENTAL"])
def test_one_stem_alone_is_heard_without_the_original(
    page: Any, stembox: Server, short: Path, output: str
) -> None:
    """Of such a job the song as it came in goes with its end."""
    key = new_key(stembox, f"gil-{output}", 60)
    gil = Caller(stembox, key)
    job_id = gil.create(uploadKey=gil.upload(short), outputType=output, quality="FAST").json()["id"]
    gil.end_of(job_id)
    page.add_init_script(TAP)
    page.reload()
    sign_in(page, key)
    page.goto(f"{stembox.url}/#/split/{job_id}")
    card = page.locator(f'[data-job="{job_id}"]')
    ready(page, card)
    assert [row.get_attribute("data-track") for row in card.locator("[data-track]").all()] == [
        output.lower()
    ]
    original = card.locator('[data-action="original"]')
    assert original.is_disabled()
    assert original.get_attribute("title") == "The original is not kept for these stems"
    page.keyboard.press("o")
    assert original.get_attribute("aria-pressed") == "false"
    card.locator('[data-action="play"]').click()
    until(page, lambda: clock(page) > 22_050)
    until(page, lambda: heard(page) != 0)


def test_below_a_proxys_path_an_old_address_is_signed_anew(
    page: Any, stembox: Server, short: Path
) -> None:
    """The server does not know of the path, and signs its addresses without it."""
    key = new_key(stembox, "hal", 60)
    hal = Caller(stembox, key)
    job_id = hal.create(uploadKey=hal.upload(short), outputType="VOCALS",
                        quality="FAST").json()["id"]
    hal.end_of(job_id)
    page.route("**/stem/**", lambda route: route.continue_(
        url=route.request.url.replace("/stem/", "/", 1)))
    page.goto(f"{stembox.url}/stem/")
    sign_in(page, key)
    page.goto(f"{stembox.url}/stem/#/split/{job_id}")
    card = page.locator(f'[data-job="{job_id}"]')
    ready(page, card)
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(hours=2))
    with page.expect_download() as download:
        card.locator('[data-track="vocals"] [data-action="download"]').click()
    assert "/stem/api/v1/downloads/" in download.value.url


def test_without_enough_credits(page: Any, stembox: Server, short: Path) -> None:
    page.expected.append(f"{REFUSED}402")
    sign_in(page, new_key(stembox, "poor", 0.02))
    part(page, "balance").get_by_text("1 s", exact=True).wait_for()
    card = choose(page, short, outputType="VOCALS", quality="FAST")
    card.get_by_text("Not enough credits: this song takes 3 s, the account has 1 s.").wait_for()
    more = card.get_by_role("link", name="Get credits")
    assert (more.get_attribute("href"), more.get_attribute("rel")) == (BUY, "noopener noreferrer")
    assert card.locator('[data-action="retry"]').is_visible()


def test_what_cannot_be_taken(page: Any, stembox: Server, tmp_path: Path) -> None:
    page.expected.append(f"{REFUSED}400")
    sign_in(page, new_key(stembox, "cal", 1))
    part(page, "balance").get_by_text("1 min").wait_for()
    letter, large = tmp_path / "letter.wav", tmp_path / "large.wav"
    letter.write_bytes(b"Dear Sir or Madam, " * 1000)
    large.write_bytes(bytes(9 << 20))
    card = choose(page, letter)
    card.get_by_text("Choose another file").wait_for()
    card = choose(page, large)
    card.get_by_text("This file is larger than 8 MB").wait_for()


def test_cancelling_gives_the_credits_back(page: Any, stembox: Server, music: Path) -> None:
    key = new_key(stembox, "dan", 1)
    dan = Caller(stembox, key)
    sign_in(page, key)
    card = choose(page, music, quality="BEST")
    job_id = named(card)
    assert dan.balance() == 20
    card.locator('[data-action="remove"]').click()
    until(page, lambda: dan.http.get(f"/jobs/{job_id}").json()["status"] == "FAILED")
    assert (dan.balance(), page.locator(".card").count()) == (60, 0)


def test_a_strangers_address_and_signing_out(page: Any, stembox: Server, short: Path) -> None:
    page.expected += [f"{REFUSED}401", f"{REFUSED}404"]
    key = new_key(stembox, "eve", 60)
    eve = Caller(stembox, key)
    job_id = eve.create(uploadKey=eve.upload(short), outputType="VOCALS",
                        quality="FAST").json()["id"]
    eve.end_of(job_id)
    page.goto(f"{stembox.url}/#/split/{job_id}")
    page.get_by_text("This job is an account's: sign in with its key under Account.").wait_for()
    sign_in(page, key)
    page.get_by_role("link", name="Songs").click()
    card = page.locator(f'[data-job="{job_id}"]')
    ready(page, card)
    page.get_by_role("link", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Songs").click()
    assert page.locator(".card").count() == 0, "the account's songs go with its key"
    sign_in(page, new_key(stembox, "fay", 60))
    part(page, "balance").get_by_text("60 min").wait_for()
    page.goto(f"{stembox.url}/#/split/{job_id}")
    card.get_by_text("The server has no such song, or none any more.").wait_for()
