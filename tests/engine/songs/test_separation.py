"""The engine against demucs's own apply_model, on the same weights."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import apply_model
from hypothesis import given, settings
from hypothesis import strategies as st

from server.config import Config
from server.engine import engine as engine_module
from server.engine.engine import Engine, Song, start_song
from server.engine.forwards import acceleration
from server.engine.library import catalog
from server.engine.loading import load_bag
from server.engine.models import Separator
from server.engine.songs.edges import read_segment
from server.engine.songs.overlap_add import OverlapAdd
from server.engine.songs.segments import fades, triangles
from server.errors import ModelError, StageFailed
from server.stems import OUTPUTS, SIX
from server.work.messages import Options
from server.work.scratch import FrameReader, FrameWriter
from tests.engine.conftest import OFFICIAL

CPU = torch.device("cpu")


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Frames (n, 2) of coloured noise at the level of music."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((max(1, round(seconds * 44100)), 2)).astype(np.float32)
    return (0.1 * np.cumsum(white, axis=0) / 30).astype(np.float32)


def song(
    folder: Path, frames: np.ndarray, model: Separator, overlap: float = 0.25, name: str = "song",
    stems: tuple[str, ...] | None = None,
) -> Song:  # fmt: skip
    folder.mkdir(exist_ok=True)
    with FrameWriter(folder / "mix.f32") as mix:
        mix.write(frames)
    options = Options(
        file_name="song", model=model.name, overlap=overlap, wav_format="FLOAT", target_lufs=-14,
        true_peak_dbtp=-1, max_seconds=60, stems=stems or model.sources,
    )
    return start_song(name, model, folder, options)


def run(engine: Engine) -> dict[str, Exception | None]:
    ends = {}
    while not engine.idle:
        for entry, error in engine.step():
            if error or entry.separation.done:
                ends[entry.name] = error
    return ends


def stems_of(
    folder: Path, model: Separator, stems: tuple[str, ...] | None = None
) -> np.ndarray:
    parts = []
    for stem in stems or model.sources:
        with FrameReader(folder / f"{stem}.f32") as reader:
            parts.append(reader.read(0, reader.frames).T)
    return np.stack(parts)


@pytest.fixture
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that does not multiply it: where answers must be alike to the float32."""
    monkeypatch.setattr(acceleration, "multiplies_bfloat16", lambda: False)


@pytest.mark.parametrize(
    "name", ["single", "bag", "weighted", "hybrid", "masks", "mixture", *OFFICIAL]
)
@pytest.mark.parametrize("seconds", [2.63, 0.4, 1.0, 1 / 44100])
def test_equals_apply_model(
    name: str, seconds: float, config: Config, tmp_path: Path, no_bfloat16: None
) -> None:
    files = catalog.find(name, config)
    model, frames = Separator(files, CPU), noise(seconds)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=0.25)[0].numpy()
    made = stems_of(tmp_path / "a", model)
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("output", sorted(OUTPUTS))
@pytest.mark.parametrize("name", ["single", "htdemucs_6s"])
def test_stems_are_sums_of_the_sources(
    name: str, output: str, config: Config, tmp_path: Path
) -> None:
    model, frames, wanted = Separator(catalog.find(name, config), CPU), noise(1.7), OUTPUTS[output]
    if wanted == SIX and name == "single":
        with pytest.raises(ModelError, match="single makes no guitar, piano"):
            song(tmp_path / "a", frames, model, stems=wanted)
        return
    engine = Engine(max_batch=2)
    engine.add(song(tmp_path / "sources", frames, model, name="sources"))
    engine.add(song(tmp_path / "stems", frames, model, name="stems", stems=wanted))
    assert run(engine) == {"sources": None, "stems": None}
    parts = dict(zip(model.sources, stems_of(tmp_path / "sources", model), strict=True))
    extra = [parts[s] for s in ("guitar", "piano") if s in parts and s not in wanted]
    expected = dict(parts, instrumental=frames.T - parts["vocals"])
    expected["other"] = parts["other"] + sum(extra)
    for stem, made in zip(wanted, stems_of(tmp_path / "stems", model, wanted), strict=True):
        np.testing.assert_allclose(made, expected[stem], atol=1e-6, err_msg=stem)
    written = {path.name for path in (tmp_path / "stems").iterdir()}
    assert written == {"mix.f32", *(f"{stem}.f32" for stem in wanted)}, "and nothing else"


@pytest.mark.parametrize("stems", OUTPUTS.values(), ids=" ".join)
def test_the_peak_is_that_of_all_stems_that_are_written(
    stems: tuple[str, ...], config: Config, tmp_path: Path
) -> None:
    name = "htdemucs_6s" if stems == SIX else "single"
    model = Separator(catalog.find(name, config), CPU)
    engine = Engine(max_batch=2)
    entry = song(tmp_path / "a", noise(1.7), model, stems=stems)
    engine.add(entry)
    run(engine)
    made = np.abs(stems_of(tmp_path / "a", model, stems))
    assert entry.separation.peak == made.max() > 0


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.5, 0.75])
def test_equals_apply_model_at_any_overlap(
    overlap: float, config: Config, tmp_path: Path
) -> None:
    files = catalog.find("single", config)
    model, frames = Separator(files, CPU), noise(2.2)
    engine = Engine(max_batch=3)
    engine.add(song(tmp_path / "a", frames, model, overlap))
    run(engine)
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=overlap)[0].numpy()
    np.testing.assert_allclose(stems_of(tmp_path / "a", model), expected, atol=1e-5, rtol=1e-5)


def test_songs_share_batches_and_stay_themselves(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("single", config), CPU)
    lengths = {"a": 3.3, "b": 0.7, "c": 1.9}
    engine = Engine(max_batch=4)
    for seed, (name, seconds) in enumerate(lengths.items()):
        engine.add(song(tmp_path / name, noise(seconds, seed), model, name=name))
    order = list(run(engine))
    assert order[0] == "b", "a short song must not wait for a long one"
    for seed, (name, seconds) in enumerate(lengths.items()):
        alone = Engine(max_batch=1)
        alone.add(song(tmp_path / f"{name}-alone", noise(seconds, seed), model))
        run(alone)
        np.testing.assert_allclose(
            stems_of(tmp_path / name, model), stems_of(tmp_path / f"{name}-alone", model),
            atol=1e-5,
        )


def test_nan_in_one_song_leaves_the_others_bit_equal(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("single", config), CPU)
    made = {}
    for poison in (0.1, np.nan):
        engine = Engine(max_batch=2)
        bad = noise(2.0, 1)
        bad[1000] = poison
        engine.add(song(tmp_path / f"good{poison}", noise(2.0, 2), model, name="good"))
        engine.add(song(tmp_path / f"bad{poison}", bad, model, name="bad"))
        ends = run(engine)
        made[str(poison)] = stems_of(tmp_path / f"good{poison}", model)
    assert isinstance(ends["bad"], StageFailed)
    assert ends["good"] is None
    np.testing.assert_array_equal(made["0.1"], made["nan"])
    assert not list((tmp_path / "badnan").glob("vocals*")), "a failed song leaves no stems"


def test_a_song_that_cannot_be_read_fails_alone(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=2)
    engine.add(song(tmp_path / "a", noise(3.0), model, name="a"))
    engine.add(song(tmp_path / "b", noise(3.0), model, name="b"))
    list(engine.step())
    with open(tmp_path / "b" / "mix.f32", "r+b") as mix:
        mix.truncate(1000)
    ends = run(engine)
    assert ends["a"] is None
    assert isinstance(ends["b"], EOFError)


def test_a_broken_device_ends_the_worker(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card after a sticky error answers nothing: the process must go, not the songs."""
    model = Separator(catalog.find("single", config), CPU)

    class Broken:
        name, device = model.name, model.device
        padded_length = staticmethod(model.padded_length)

        def __call__(self, *_: object) -> torch.Tensor:
            raise RuntimeError("illegal memory access")

    def broken_device(_: torch.device) -> None:
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr(engine_module, "check_device", broken_device)
    engine = Engine(max_batch=1)
    broken = song(tmp_path / "a", noise(1.0), model)
    broken.model = Broken()
    engine.add(broken)
    with pytest.raises(RuntimeError, match="illegal"):
        list(engine.step())


def test_a_song_that_finds_no_room_on_the_card_leaves_nothing(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    model = Separator(catalog.find("single", config), CPU)
    monkeypatch.setattr("server.engine.songs.separation.OverlapAdd", full)
    with pytest.raises(torch.OutOfMemoryError):
        song(tmp_path / "a", noise(1.0), model)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mix.f32"]


def test_a_song_of_no_samples_ends_at_once(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", np.zeros((0, 2), np.float32), model))
    assert run(engine) == {"song": None}
    assert stems_of(tmp_path / "a", model).shape == (4, 2, 0)


def test_a_cancelled_song_leaves_nothing(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", noise(3.0), model, name="a"))
    list(engine.step())
    assert engine.remove("a", RuntimeError("cancelled"))
    assert engine.idle
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mix.f32"]
    assert not engine.remove("a", RuntimeError("again"))


@pytest.mark.parametrize("frames", [
    np.zeros((30000, 2), np.float32),
    np.where(np.arange(60000)[:, None] // 100 % 2, 1, -1).astype(np.float32).repeat(2, axis=1),
], ids=["silence", "full-scale square"])
@pytest.mark.parametrize("name", ["single", "masks"])
def test_finite_and_silence_stays_silent(
    name: str, frames: np.ndarray, config: Config, tmp_path: Path
) -> None:
    model = Separator(catalog.find(name, config), CPU)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    made = stems_of(tmp_path / "a", model)
    assert np.isfinite(made).all()
    if not frames.any():
        assert np.abs(made).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 2000), segment=st.integers(1, 700), overlap=st.floats(0, 0.999)
)
def test_overlap_add_of_the_song_itself_is_the_song(
    frames: int, segment: int, overlap: float
) -> None:
    cuts = triangles(frames, segment, overlap)
    mix = torch.randn(1, 2, frames, generator=torch.Generator().manual_seed(frames))
    adder, made = OverlapAdd(cuts, 1, CPU), []
    for index in range(cuts.count):
        first = cuts.start(index)
        made.append(adder.add(index, mix[..., first : first + cuts.length(index)]))
    np.testing.assert_allclose(torch.cat(made, -1), mix, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 2000), segment=st.integers(1, 700), overlap=st.floats(0, 0.999)
)
def test_faded_segments_of_the_song_itself_are_the_song(
    frames: int, segment: int, overlap: float
) -> None:
    """Whatever lies in the mirrored parts beyond its ends."""
    cuts = fades(frames, segment, overlap)
    mix = torch.randn(frames, 2, generator=torch.Generator().manual_seed(frames)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        with FrameWriter(Path(folder) / "mix") as writer:
            writer.write(mix)
        adder, made, out = OverlapAdd(cuts, 1, CPU), [], np.empty((segment, 2), np.float32)
        with FrameReader(Path(folder) / "mix") as reader:
            for index in range(cuts.count):
                read_segment(reader, cuts, index, out)
                part = torch.from_numpy(out[: cuts.length(index)].T.copy())
                made.append(adder.add(index, part[None]))
    np.testing.assert_allclose(torch.cat(made, -1)[0], mix.T, atol=1e-5)


@pytest.mark.parametrize(("name", "output", "count"), [
    ("htdemucs_ft", "VOCALS", 1), ("htdemucs_ft", "INSTRUMENTAL", 1), ("htdemucs_ft", "BOTH", 1),
    ("htdemucs_ft", "FOUR_STEMS", 4), ("mdx_extra", "VOCALS", 4), ("htdemucs", "BOTH", 1),
    ("weighted", "VOCALS", 2), ("mixture", "BOTH", 1), ("mixture", "FOUR_STEMS", 2),
])
def test_only_the_specialists_that_are_needed_run(
    name: str, output: str, count: int, config: Config, tmp_path: Path, no_bfloat16: None
) -> None:
    files = catalog.find(name, config)
    model, frames, wanted = Separator(files, CPU), noise(1.7), OUTPUTS[output]
    ran: set[int] = set()
    for place, (member, _) in enumerate(model.models):
        member.register_forward_hook(lambda *_, place=place: ran.add(place))
    engine = Engine(max_batch=3)
    engine.add(song(tmp_path, frames, model, stems=wanted))
    assert run(engine) == {"song": None}
    assert len(ran) == count
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=0.25)[0].numpy()
    truth = dict(zip(model.sources, expected, strict=True))
    truth["instrumental"] = frames.T - truth["vocals"]
    made = stems_of(tmp_path, model, wanted)
    for stem, found in zip(wanted, made, strict=True):
        assert np.abs(found - truth[stem]).max() < 1e-5


@pytest.mark.parametrize("name", ["masks", "mixture"])
@pytest.mark.parametrize("output", ["BOTH", "FOUR_STEMS"])
def test_stems_add_up_to_the_mix(name: str, output: str, config: Config, tmp_path: Path) -> None:
    model, wanted, frames = Separator(catalog.find(name, config), CPU), OUTPUTS[output], noise(2.3)
    engine = Engine(max_batch=2)
    engine.add(song(tmp_path, frames, model, stems=wanted))
    assert run(engine) == {"song": None}
    error = stems_of(tmp_path, model, wanted).sum(0) - frames.T
    assert 10 * np.log10(np.square(frames).sum() / np.square(error).sum()) > 90


def test_songs_that_need_other_specialists_share_no_batch(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("htdemucs_ft", config), CPU)
    engine = Engine(max_batch=8)
    for output in ("VOCALS", "FOUR_STEMS"):
        engine.add(song(tmp_path / output, noise(2.0), model, name=output, stems=OUTPUTS[output]))
    assert run(engine) == {"VOCALS": None, "FOUR_STEMS": None}


class Card:
    """Stands for a card: runs out of memory above `room` segments, answers NaN at will."""

    def __init__(self, model: Separator, room: int = 99, overflows: bool = False) -> None:
        self._model = model
        self._room = room
        self._overflows = overflows
        self.reduced = overflows
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def __call__(self, mix: torch.Tensor, members: tuple[int, ...]) -> torch.Tensor:
        self.batches.append(len(mix))
        if len(mix) > self._room:
            raise torch.OutOfMemoryError("out of memory")
        made = self._model(mix, members)
        return made * torch.inf if self._overflows else made

    def in_full(self) -> Separator:
        return self._model


def test_a_model_that_has_little_room_does_not_narrow_others(
    config: Config, tmp_path: Path
) -> None:
    big, small = (Card(Separator(catalog.find(name, config), CPU)) for name in ("bag", "single"))
    engine = Engine(max_batch=8)
    engine.bounds["bag"] = 3
    for name, model in (("a", big), ("b", big), ("c", small)):
        engine.add(song(tmp_path / name, noise(7.3), model, name=name))
    assert run(engine) == {"a": None, "b": None, "c": None}
    assert max(big.batches) == 3 and max(small.batches) > 3


def test_out_of_memory_halves_the_batch_for_good(config: Config, tmp_path: Path) -> None:
    plain = Separator(catalog.find("single", config), CPU)
    card, engine = Card(plain, room=3), Engine(max_batch=16)
    for name, seconds in (("a", 7.3), ("b", 5.1)):
        engine.add(song(tmp_path / name, noise(seconds), card, name=name))
    assert run(engine) == {"b": None, "a": None}
    first = card.batches[0]
    assert card.batches[:4] == [first, first // 2, first // 4, 2]
    assert max(card.batches[4:]) == engine.most("single") == 2, "it does not try again"
    assert engine.most("bag") == engine.max_batch == 16, "others have room"
    for name, seconds in (("a", 7.3), ("b", 5.1)):
        alone = Engine(max_batch=1)
        alone.add(song(tmp_path / f"{name}1", noise(seconds), plain))
        run(alone)
        np.testing.assert_allclose(stems_of(tmp_path / name, plain),
                                   stems_of(tmp_path / f"{name}1", plain), atol=1e-5)


def test_a_song_too_big_for_the_card_fails_alone(config: Config, tmp_path: Path) -> None:
    plain = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=4)
    engine.add(song(tmp_path / "a", noise(2.0), Card(plain, room=0), name="a"))
    engine.add(song(tmp_path / "b", noise(2.0), plain, name="b"))
    ends = run(engine)
    assert isinstance(ends["a"], torch.OutOfMemoryError)
    assert ends["b"] is None


def test_a_song_that_overflows_half_precision_begins_again(
    config: Config, tmp_path: Path
) -> None:
    plain = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=2)
    engine.add(song(tmp_path / "a", noise(3.0), Card(plain, overflows=True), name="a"))
    engine.add(song(tmp_path / "b", noise(2.0, 1), plain, name="b"))
    assert run(engine) == {"a": None, "b": None}
    alone = Engine(max_batch=1)
    alone.add(song(tmp_path / "c", noise(3.0), plain))
    run(alone)
    np.testing.assert_allclose(stems_of(tmp_path / "a", plain), stems_of(tmp_path / "c", plain),
                               atol=1e-5)


@pytest.mark.parametrize("depth", [2, 3])
def test_batches_under_way_at_once_change_nothing(
    depth: int, config: Config, tmp_path: Path
) -> None:
    model = Separator(catalog.find("single", config), CPU)
    lengths = {"a": 3.3, "b": 0.7, "c": 1.9, "gone": 9.0, "bad": 2.5}
    ends = {}
    for ahead in (1, depth):
        engine = Engine(max_batch=2)
        engine._transfers.depth = ahead  # what a card would have
        for seed, (name, seconds) in enumerate(lengths.items()):
            mix = noise(seconds, seed)
            mix[-1] = np.nan if name == "bad" else mix[-1]
            engine.add(song(tmp_path / f"{name}{ahead}", mix, model, name=name))
        for _ in range(3):
            list(engine.step())
        assert engine.remove("gone", RuntimeError("cancelled"))
        ends[ahead] = run(engine)
        assert not list((tmp_path / f"gone{ahead}").glob("vocals*"))
    assert isinstance(ends[depth].pop("bad"), StageFailed)
    assert set(ends[depth].values()) == {None}
    for name in set(lengths) - {"gone", "bad"}:
        np.testing.assert_array_equal(
            *(stems_of(tmp_path / f"{name}{ahead}", model) for ahead in (1, depth))
        )
