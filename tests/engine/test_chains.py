"""Presets in the separation worker: model after model, as if each had been run by hand."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from msgspec import structs

from server import offline as offline_module
from server.config import Config, load
from server.engine import catalog, choice
from server.engine import worker as worker_module
from server.engine.engine import Engine
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.offline import Offline
from server.presets.inferences import is_between
from server.work.channel import ChannelClosed
from server.work.messages import Cancel, Failed, Hello, Options, Progress, Result, Task
from server.work.scratch import FrameReader, FrameWriter, parts_of
from tests.engine.conftest import write_models
from tests.engine.test_separation import CPU, noise, run, song, stems_of

PRESETS = {
    "karaoke": """
        stems = ["vocals", "instrumental", "drums", "lead", "backing", "dry"]
        [[steps]]
        model = "single"
        stems = ["vocals", "drums"]
        [[steps]]
        input = "vocals"
        model = "masks"
        stems = { lead = "vocals", backing = "instrumental" }
        [[steps]]
        input = "lead"
        model = "hybrid"
        stems = { dry = ["bass", "other"] }""",
    "mean": """
        steps = [{ model = ["single", "masks"], weights = { vocals = [3, 1], drums = [0, 1] } }]""",
    "whole": """
        steps = [{ model = "single", stems = { both = ["vocals", "instrumental"] } }]""",
}
NAMES = ("single", "masks", "hybrid")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(worker_module, "prepare_cpu", lambda threads: None)  # it lasts
    monkeypatch.setattr(Separator, "warm_up", lambda *_: 0.1)
    data = tmp_path / "data"
    write_models(data / "models")
    told = {f"STEMBOX_PRESETS__{name.upper()}": text for name, text in PRESETS.items()}
    return load(
        environ=told,
        flags={
            "server.data_dir": str(data),
            "separation.max_batch": 4,
            "separation.precision": "float32",
        },
    )


def task(
    folder: Path, config: Config, preset: str, wanted: Sequence[str], frames: np.ndarray
) -> Task:
    """A task that wants these stems of a preset; its name is its folder's."""
    folder.mkdir()
    with FrameWriter(folder / "mix.f32") as mix:
        mix.write(frames)
    found = choice.making(wanted, "BALANCED", config, preset)
    options = Options(
        file_name="x",
        **choice.work(found, wanted, "BALANCED", config)._asdict(),
        wav_format="FLOAT",
        target_lufs=-14,
        true_peak_dbtp=-1,
        max_seconds=60,
        stems=tuple(wanted),
    )
    return Task(
        id=folder.name,
        job="j",
        stage="separate",
        source="",
        scratch=str(folder),
        outputs="",
        options=options,
    )


class Desk:
    """The other end of a worker: hands out tasks, hears what is said, and goes home."""

    def __init__(self, worker: SeparationWorker, *tasks: Task) -> None:
        self._worker = worker
        self._inbox: deque[Any] = deque(tasks)
        self.said: list[Any] = []
        self.heard: Callable[[Any], None] = lambda message: None

    def serve(self) -> list[Any]:
        self._worker.hello("separation-0", 1)
        with pytest.raises(ChannelClosed):
            self._worker.serve(self)
        return self.said

    def post(self, message: Any) -> None:
        self._inbox.append(message)

    def waiting(self, seconds: float | None = 0.0) -> bool:
        if not self._inbox and self._worker._engine.idle:
            raise ChannelClosed
        return bool(self._inbox)

    def receive(self) -> Any:
        return self._inbox.popleft()

    def send(self, message: Any) -> None:
        self.said.append(message)
        self.heard(message)

    def ends(self) -> dict[str, Any]:
        return {m.id: m for m in self.said if isinstance(m, Result | Failed)}


def separated(config: Config, *tasks: Task) -> dict[str, Any]:
    desk = Desk(SeparationWorker(config, "cpu"), *tasks)
    desk.serve()
    return desk.ends()


def made(folder: Path) -> dict[str, np.ndarray]:
    """All that lies in a job's scratch folder, (2, samples) by file name."""
    found = {}
    for path in folder.iterdir():
        with FrameReader(path) as reader:
            found[path.name.removesuffix(".f32")] = reader.read(0, reader.frames).T
    return found


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


def second_step(message: Any) -> bool:
    return isinstance(message, Progress) and message.done > 0.5


@pytest.mark.parametrize("when", [0.0, 0.4, 0.5, 0.8])
def test_a_cancel_in_any_step_leaves_the_mix_alone(
    when: float, config: Config, tmp_path: Path
) -> None:
    worker = SeparationWorker(config, "cpu")
    wanted = ["vocals", "instrumental", "drums", "backing"]
    order = task(tmp_path / "job", config, "karaoke", wanted, noise(4.0))
    other = task(tmp_path / "other", config, "masks", ["drums"], noise(1.0))
    desk = Desk(worker, order, other)

    def cancel(message: Any) -> None:
        if isinstance(message, Progress) and message.id == "job" and message.done >= when:
            desk.post(Cancel("job"))
            desk.heard = lambda message: None

    desk.heard = cancel
    desk.serve()
    ends = desk.ends()
    assert ends["job"].kind == "cancelled" and isinstance(ends["other"], Result)
    assert set(made(tmp_path / "job")) == {"mix"} and set(made(tmp_path / "other")) == {
        "mix",
        "drums",
    }
    assert worker._engine.idle and not worker._jobs


@pytest.mark.parametrize("broken", NAMES)
def test_a_failure_in_any_step_leaves_the_mix_alone(
    broken: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Separator.__call__

    def failing(model: Separator, *given: Any) -> torch.Tensor:
        if model.name == broken:
            raise RuntimeError("no")
        return forward(model, *given)

    monkeypatch.setattr(Separator, "__call__", failing)
    worker = SeparationWorker(config, "cpu")
    order = task(tmp_path / "job", config, "karaoke", ["vocals", "drums", "dry"], noise(3.0))
    healthy = task(tmp_path / "other", config, "htdemucs", ["drums"], noise(1.0))
    desk = Desk(worker, order, healthy)
    desk.serve()
    ends = desk.ends()
    assert isinstance(ends["job"], Failed) and ends["job"].kind == "internal"
    assert isinstance(ends["other"], Result)
    assert set(made(tmp_path / "job")) == {"mix"} and not worker._jobs


def test_a_model_that_is_gone_fails_before_the_first_step(config: Config, tmp_path: Path) -> None:
    order = task(tmp_path / "job", config, "karaoke", ["drums", "lead"], noise(1.0))
    for path in (config.data_dir / "models").glob("masks.yaml"):
        path.unlink()
    worker = SeparationWorker(config, "cpu")
    desk = Desk(worker, order)
    desk.serve()
    assert "model masks is not on this machine" in desk.ends()["job"].message
    assert set(made(tmp_path / "job")) == {"mix"} and not worker._engine.forwards


def test_files_that_went_with_their_job_fail_it(config: Config, tmp_path: Path) -> None:
    order = task(tmp_path / "job", config, "karaoke", ["drums", "lead"], noise(5.0))
    desk = Desk(SeparationWorker(config, "cpu"), order)

    def sweep(message: Any) -> None:
        if second_step(message):
            for path in (tmp_path / "job").iterdir():
                path.unlink()

    desk.heard = sweep
    desk.serve()
    assert isinstance(desk.ends()["job"], Failed) and made(tmp_path / "job") == {}


def test_what_a_dead_attempt_left_between_steps_goes(config: Config, tmp_path: Path) -> None:
    """Its tracks are heard until the next attempt has come as far."""
    order = task(tmp_path / "job", config, "karaoke", ["drums", "dry"], noise(2.0))
    for name in (".vocals.f32.1.part", ".lead.f32.1.part.1.part", "drums.f32.1.part"):
        (tmp_path / "job" / name).write_bytes(bytes(8))
    separated(config, order)
    assert {path.name for path in (tmp_path / "job").iterdir()} == {
        "mix.f32",
        "drums.f32",
        "dry.f32",
        "drums.f32.1.part",
    }


def test_the_worker_closes_in_mid_chain(config: Config, tmp_path: Path) -> None:
    worker = SeparationWorker(config, "cpu")
    order = task(tmp_path / "job", config, "karaoke", ["drums", "lead"], noise(5.0))
    desk = Desk(worker, order)

    def close(message: Any) -> None:
        if second_step(message):
            raise ChannelClosed

    desk.heard = close
    desk.serve()
    assert set(made(tmp_path / "job")) == {"mix"} and not worker._jobs


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


def test_reduced_precision_that_overflows_begins_its_step_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Separator.__call__

    def reduced(model: Separator, *given: Any) -> torch.Tensor:
        answer = forward(model, *given)
        return answer * torch.inf if model.reduced else answer

    order = task(tmp_path / "job", config, "karaoke", ["drums", "backing"], noise(3.0))
    plain = task(tmp_path / "plain", config, "karaoke", ["drums", "backing"], noise(3.0))
    separated(config, plain)
    monkeypatch.setattr(Separator, "__call__", reduced)
    worker = SeparationWorker(config, "cpu")
    worker._models.prepare("masks")
    worker._models["masks"].reduced = True
    desk = Desk(worker, order)
    desk.serve()
    assert isinstance(desk.ends()["job"], Result)
    told = [message.done for message in desk.said if isinstance(message, Progress)]
    assert told == sorted(told)
    expected = made(tmp_path / "plain")
    for stem, samples in made(tmp_path / "job").items():
        np.testing.assert_allclose(samples, expected[stem], atol=1e-6)


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
