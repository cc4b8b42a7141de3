"""Presets in the separation worker: model after model, as if each had been run by hand."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from msgspec import structs

from server import offline as offline_module
from server.config import Config
from server.engine import worker as worker_module
from server.engine.engine import Engine
from server.engine.library import catalog, choice
from server.engine.library.catalog import ModelFiles
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.errors import StageFailed
from server.offline import Offline
from server.presets.inferences import is_between
from server.stems import own_sources
from server.work.messages import Hello, Progress, Result
from server.work.scratch import FrameReader, parts_of
from tests.engine.chaining import NAMES, Desk, made, separated, task
from tests.engine.chaining import config as config
from tests.engine.conftest import CPU, noise, run, song, stems_of


def by_hand(
    config: Config, model: str, frames: np.ndarray, folder: Path, stems: tuple[str, ...]
) -> np.ndarray:
    """The stems (stems, 2, samples) of one model alone."""
    loaded = Separator(catalog.find(model, config), CPU, "float32")
    engine = Engine(max_batch=1)
    engine.add(song(folder, frames, loaded, stems=stems))
    assert run(engine) == {"song": None}
    return stems_of(folder, loaded, stems)


@pytest.mark.parametrize("seconds", [2.63, 0.3])
def test_a_chain_equals_its_models_one_after_another(
    seconds: float, config: Config, tmp_path: Path
) -> None:
    frames = noise(seconds)
    vocals, drums = by_hand(config, "single", frames, tmp_path / "1", ("vocals", "drums"))
    lead, backing = by_hand(config, "masks", vocals.T, tmp_path / "2", ("vocals", "instrumental"))
    bass, other = by_hand(config, "hybrid", lead.T, tmp_path / "3", ("bass", "other"))
    truth = {
        "vocals": vocals,
        "drums": drums,
        "lead": lead,
        "backing": backing,
        "dry": bass + other,
        "instrumental": frames.T - vocals,
    }
    for number, wanted in enumerate((list(truth), ["dry", "instrumental"], ["backing"])):
        folder = tmp_path / f"job{number}"
        ends = separated(config, task(folder, config, "karaoke", wanted, frames))
        found = made(folder)
        assert set(found) == {"mix", *wanted}, "nothing else is left"
        for stem in wanted:
            np.testing.assert_allclose(found[stem], truth[stem], atol=1e-6, err_msg=stem)
        facts = ends[folder.name].facts
        assert facts["stems"] == wanted and facts["model"] == "karaoke"
        highest = max(np.abs(found[stem]).max() for stem in wanted)
        assert facts["peak"] == pytest.approx(highest)
        assert facts["seconds"] == pytest.approx(seconds, abs=1e-3)
        # of all inferences: each model's segments are of a second
        assert facts["segments"] == len(NAMES[: 2 if wanted == ["backing"] else 3]) * \
            -(-len(frames) // 33075)  # fmt: skip


def test_a_mean_is_weighted_by_model_and_stem(config: Config, tmp_path: Path) -> None:
    frames, four = noise(2.3), ("drums", "bass", "other", "vocals")
    one = dict(zip(four, by_hand(config, "single", frames, tmp_path / "1", four), strict=True))
    two = dict(zip(four, by_hand(config, "masks", frames, tmp_path / "2", four), strict=True))
    truth = {
        "vocals": 0.75 * one["vocals"] + 0.25 * two["vocals"],
        "drums": two["drums"],
        "bass": (one["bass"] + two["bass"]) / 2,
    }
    truth["instrumental"] = frames.T - truth["vocals"]
    wanted = list(truth)
    ends = separated(config, task(tmp_path / "job", config, "mean", wanted, frames))
    found = made(tmp_path / "job")
    assert set(found) == {"mix", *wanted} and isinstance(ends["job"], Result)
    for stem in wanted:
        np.testing.assert_allclose(found[stem], truth[stem], atol=1e-6, err_msg=stem)
    rest = found["vocals"] + found["instrumental"] - frames.T
    assert np.abs(rest).max() < 1e-6, "they add up to the mix"
    assert ends["job"].facts["peak"] == pytest.approx(
        max(np.abs(found[stem]).max() for stem in wanted)
    )


def test_what_cancels_out_to_the_mix_is_the_mix(config: Config, tmp_path: Path) -> None:
    frames = noise(1.3)
    ends = separated(config, task(tmp_path / "job", config, "whole", ["both"], frames))
    assert isinstance(ends["job"], Result), ends
    np.testing.assert_allclose(made(tmp_path / "job")["both"], frames.T, atol=1e-6)


def test_jobs_share_batches_and_each_is_as_if_alone(config: Config, tmp_path: Path) -> None:
    """Two chains, a mean, and a job of one of their models, all at once."""
    orders = {"a": ("karaoke", ["dry", "backing"], noise(2.6, 1)),
              "b": ("karaoke", ["dry", "instrumental"], noise(3.4, 2)),
              "c": ("mean", ["vocals", "instrumental"], noise(1.7, 3)),
              "d": ("masks", ["vocals"], noise(2.2, 4))}  # fmt: skip
    tasks = [task(tmp_path / name, config, *order) for name, order in orders.items()]
    worker = SeparationWorker(config, "cpu")
    desk = Desk(worker, *tasks)
    desk.serve()
    assert all(isinstance(end, Result) for end in desk.ends().values()) and len(desk.ends()) == 4
    assert worker._engine.forwards < worker._engine.segments, "they shared batches"
    for name, order in orders.items():
        separated(config, task(tmp_path / f"{name}-alone", config, *order))
        alone, together = made(tmp_path / f"{name}-alone"), made(tmp_path / name)
        assert alone.keys() == together.keys()
        for stem, samples in alone.items():
            np.testing.assert_allclose(together[stem], samples, atol=1e-5, err_msg=stem)


def test_progress_goes_up_over_all_passes(config: Config, tmp_path: Path) -> None:
    order = task(tmp_path / "job", config, "karaoke", ["dry", "drums"], noise(4.0))
    said = Desk(SeparationWorker(config, "cpu"), order).serve()
    told = [message.done for message in said if isinstance(message, Progress)]
    assert told == sorted(told) and told[0] >= 0 and told[-1] < 1
    for part in (1 / 3, 2 / 3):
        assert any(done == pytest.approx(part) for done in told), "of equal costs, equal parts"


def test_costs_that_are_known_weigh(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"single": 0.3, "masks": 0.1}
    monkeypatch.setattr(Separator, "warm_up", lambda model, _: paces.get(model.name, 0.1))
    worker = SeparationWorker(config, "cpu")
    for name in paces:
        worker._models.prepare(name)
    desk = Desk(worker, task(tmp_path / "job", config, "karaoke", ["backing"], noise(4.0)))
    desk.serve()
    told = [message.done for message in desk.said if isinstance(message, Progress)]
    assert any(done == pytest.approx(0.75) for done in told), "one costs three times the other"


def test_what_is_final_can_be_heard_meanwhile(config: Config, tmp_path: Path) -> None:
    """Tracks of a step that is done, those that grow, and never what lies between."""
    folder, heard = tmp_path / "job", []
    order = task(folder, config, "karaoke", ["drums", "lead", "dry"], noise(4.0))
    desk = Desk(SeparationWorker(config, "cpu"), order)

    def look(message: Any) -> None:
        if not isinstance(message, Progress):
            return
        names = {path.name.partition(".f32")[0] for path in folder.iterdir()}
        growing = {}
        for stem in ("drums", "lead", "dry"):
            assert not (folder / f"{stem}.f32").exists(), "before its job's end"
            for part in parts_of(folder / f"{stem}.f32"):
                with FrameReader(part) as reader:
                    growing[stem] = reader.read(0, reader.frames)
        heard.append((names, growing))

    desk.heard = look
    desk.serve()
    assert {name for names, _ in heard for name in names if is_between(name)} == {".vocals"}
    lengths = [[len(growing.get(stem, ())) for stem in ("drums", "lead", "dry")]
               for _, growing in heard]  # fmt: skip
    assert [4 * 44100, 4 * 44100, 0] in [[*pair, 0] for *pair, _ in lengths]
    assert any(0 < drums < 4 * 44100 for drums, _, _ in lengths)
    assert any(drums == 4 * 44100 and lead > dry > 0 for drums, lead, dry in lengths)
    (last,) = [names for names, growing in heard[-1:]]
    assert ".vocals" not in last, "it went when nobody wanted it any more"
    final = made(folder)
    for _, growing in heard:
        for stem, frames in growing.items():
            assert np.array_equal(frames.T, final[stem][:, : len(frames)]), stem


def test_silence_in_silence_out(config: Config, tmp_path: Path) -> None:
    frames = noise(5.0)
    frames[2 * 44100 : 4 * 44100] = 0
    wanted = ["vocals", "instrumental", "lead", "dry"]
    separated(config, task(tmp_path / "job", config, "karaoke", wanted, frames),
              task(tmp_path / "mean", config, "mean", ["vocals", "instrumental"], frames),
              task(tmp_path / "zeros", config, "karaoke", wanted, 0 * frames))  # fmt: skip
    inside = slice(2 * 44100 + 512, 4 * 44100 - 512)  # each step fades in its own silence
    for job in ("job", "mean"):
        for stem, samples in made(tmp_path / job).items():
            assert not samples[:, inside].any(), (job, stem)
            assert samples.any()
    assert not any(samples.any() for samples in made(tmp_path / "zeros").values())


def test_an_offset_that_nobody_hears_stays_in_the_rest(config: Config, tmp_path: Path) -> None:
    """Dither, say: the instrumental of a mean is the mix, to the last bit, where that is calm."""
    frames = noise(4.0)
    frames[:] += 0.25
    frames[: 2 * 44100] = 0.25
    separated(config, task(tmp_path / "job", config, "mean", ["vocals", "instrumental"], frames))
    found = made(tmp_path / "job")
    calm = slice(64, 2 * 44100 - 128)
    assert not found["vocals"][:, calm].any()
    np.testing.assert_array_equal(found["instrumental"][:, calm], frames[calm].T)


def test_a_model_that_loads_in_mid_job_gives_signs_of_life(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 0.02)
    slow: list[str] = []

    def warm_up(model: Separator, _: int) -> float:
        if model.name == "masks":
            slow.append(model.name)
            time.sleep(0.3)
        return {"masks": 7.0}.get(model.name, 0.1)

    monkeypatch.setattr(Separator, "warm_up", warm_up)
    order = task(tmp_path / "job", config, "karaoke", ["backing"], noise(2.0))
    said = Desk(SeparationWorker(config, "cpu"), order).serve()
    assert slow == ["masks"]
    hello = next(n for n, m in enumerate(said) if isinstance(m, Hello) and m.step_s == 7.0)
    signs = [message.done for message in said[:hello] if isinstance(message, Progress)]
    assert signs.count(0.5) > 2, "while the second model loads, half of the work is done"
    assert {model.name for model in said[hello].models} == {"htdemucs", "single", "masks"}


def test_the_models_themselves_are_resident(config: Config, tmp_path: Path) -> None:
    few = structs.replace(config, separation=structs.replace(config.separation, max_models=2))
    worker = SeparationWorker(few, "cpu")
    assert set(worker._models) == {"htdemucs"}
    Desk(worker, task(tmp_path / "job", few, "karaoke", ["dry"], noise(1.0))).serve()
    assert set(worker._models) == {"htdemucs", "hybrid"}, "each leaves for the next"


def test_a_preset_of_the_pipeline_stays_warm(config: Config, tmp_path: Path) -> None:
    models = structs.replace(config.models, balanced=["mean"])
    settings = structs.replace(config.separation, max_models=1)
    home = structs.replace(config, models=models, separation=settings)
    worker = SeparationWorker(home, "cpu")
    assert set(worker._models) == {"single", "masks"}
    Desk(worker, task(tmp_path / "job", home, "hybrid", ["drums"], noise(1.0))).serve()
    Desk(worker, task(tmp_path / "two", home, "bag", ["drums"], noise(1.0))).serve()
    assert set(worker._models) == {"single", "masks", "bag"}


def test_a_card_is_prepared_before_anything_is_on_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs are captured on the current device, and float32 there is float32."""
    done: list[str] = []

    class Loaded:
        def __init__(self, files: ModelFiles, device: torch.device, _: str) -> None:
            done.append(f"{files.name} on {device}")
            self.recipe = own_sources(["vocals", "drums", "bass", "other"])

    monkeypatch.setattr(offline_module, "devices", lambda _: ("cuda:1",))
    monkeypatch.setattr(offline_module, "prepare_cpu", lambda _: done.append("cpu"))
    monkeypatch.setattr(offline_module, "prepare_card", lambda card: done.append(f"card {card}"))
    monkeypatch.setattr(offline_module, "Separator", Loaded)
    Offline(config, "BALANCED", found=choice.resolve("single", config))
    assert done == ["card cuda:1", "single on cuda:1"]


def test_without_a_server(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_module, "prepare_cpu", lambda threads: None)  # it lasts
    frames, wanted = noise(2.0), ("backing", "drums")
    separated(config, task(tmp_path / "job", config, "karaoke", wanted, frames))
    sf.write(tmp_path / "song.wav", frames, 44100, subtype="FLOAT")
    found = choice.making(wanted, "BALANCED", config, "karaoke")
    offline = Offline(config, "BALANCED", wanted, found)
    told: list[float] = []
    tracks = offline.tracks(tmp_path / "song.wav", lambda stage, done: told.append(done)
                            if stage == "separate" else None)  # fmt: skip
    assert offline.name == "karaoke" and list(tracks) == list(wanted)
    assert told == sorted(told) and told[-1] == 1.0
    expected = made(tmp_path / "job")
    for stem, samples in tracks.items():
        np.testing.assert_allclose(samples, expected[stem], atol=1e-6)


@pytest.mark.parametrize(("error", "said"), [
    (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "CUDA out of memory. Tried"),
    (RuntimeError("shapes"), "shapes"), (MemoryError(), "out of memory"),
])  # fmt: skip
def test_without_a_server_what_torch_raises_fails_one_song(
    error: Exception, said: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_module, "prepare_cpu", lambda threads: None)
    sf.write(tmp_path / "song.wav", noise(1.0), 44100, subtype="FLOAT")
    offline = Offline(config, "BALANCED", found=choice.resolve("single", config))

    def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(offline_module.Separator, "__call__", failing)
        with pytest.raises(StageFailed, match=f"^model single failed: {said}$"):
            offline.tracks(tmp_path / "song.wav", lambda *_: None)
        patched.setattr(offline_module, "Separator", failing)
        with pytest.raises(StageFailed, match=f"^model single failed: {said}$"):
            Offline(config, "BALANCED", found=choice.resolve("single", config))
    assert offline.tracks(tmp_path / "song.wav", lambda *_: None), "the next one fares better"
