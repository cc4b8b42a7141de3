"""Songs on one card: they share batches and stay themselves, and what fails, fails alone."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
import torch

from server.config import Config
from server.engine import engine as engine_module
from server.engine.engine import Engine
from server.engine.library import catalog
from server.engine.models import Separator
from server.engine.songs.overlap_add import OverlapAdd
from server.errors import StageFailed
from server.stems import OUTPUTS
from tests.engine.conftest import CPU, noise, run, song, stems_of


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
        name, key, device = model.name, model.key, model.device
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


def test_a_cancelled_song_leaves_nothing(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=1)
    engine.add(song(tmp_path / "a", noise(3.0), model, name="a"))
    list(engine.step())
    assert engine.remove("a", RuntimeError("cancelled"))
    assert engine.idle
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mix.f32"]
    assert not engine.remove("a", RuntimeError("again"))


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


def test_what_begins_again_is_made_ready_first(config: Config, tmp_path: Path) -> None:
    """Where somebody gives signs of life for it."""
    plain = Separator(catalog.find("single", config), CPU)
    engine, seen = Engine(max_batch=2), []

    @contextmanager
    def loading(_: object) -> Iterator[None]:
        seen.append("begins")
        yield
        seen.append("over")

    engine.loading = loading
    engine.warm = lambda model: seen.append(model)
    engine.add(song(tmp_path / "a", noise(3.0), Card(plain, overflows=True), name="a"))
    assert run(engine) == {"a": None}
    assert seen == ["begins", plain, "over"]


def test_what_cannot_be_made_ready_fails_the_song(config: Config, tmp_path: Path) -> None:
    def full(_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    plain = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=2)
    engine.warm = full
    engine.add(song(tmp_path / "a", noise(3.0), Card(plain, overflows=True), name="a"))
    assert run(engine)["a"] is not None
    assert engine.idle
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mix.f32"]


@pytest.mark.parametrize("others", [True, False])
def test_too_little_memory_behind_a_forward_leaves_room_for_the_next_attempt(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    model, engine, asked = Separator(catalog.find("single", config), CPU), Engine(max_batch=4), []
    engine.make_room = lambda name: bool(asked.append(name)) or others
    real, full = OverlapAdd.add, [True]

    def add(self: OverlapAdd, index: int, part: torch.Tensor) -> torch.Tensor:
        if full and full.pop():
            raise torch.OutOfMemoryError("out of memory")
        return real(self, index, part)

    monkeypatch.setattr(OverlapAdd, "add", add)
    engine.add(song(tmp_path / "a", noise(7.3), model, name="a"))
    assert isinstance(run(engine)["a"], torch.OutOfMemoryError)
    assert asked == ["single"]
    assert (engine.most("single") < 4) is not others
    engine.add(song(tmp_path / "b", noise(7.3), model, name="b"))
    assert run(engine) == {"b": None}


def test_one_moment_without_memory_narrows_once(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is tried one by one, and a song in it has failed for memory: the others have not."""
    model, engine, room = Card(Separator(catalog.find("single", config), CPU)), Engine(8), [True]
    engine.make_room = lambda name: bool(room) and room.pop()
    real, full, odd = OverlapAdd.add, [True], [True]

    def add(self: OverlapAdd, index: int, part: torch.Tensor) -> torch.Tensor:
        if full and full.pop():
            raise torch.OutOfMemoryError("out of memory")
        return real(self, index, part)

    def forward(mix: torch.Tensor, members: tuple[int, ...]) -> torch.Tensor:
        if odd and odd.pop():
            raise RuntimeError("odd")
        return model._model(mix, members)

    monkeypatch.setattr(OverlapAdd, "add", add)
    monkeypatch.setattr(Card, "__call__", lambda self, mix, members: forward(mix, members))
    for name in ("a", "b"):
        engine.add(song(tmp_path / name, noise(7.3), model, name=name))
    ends = run(engine)
    assert sorted(isinstance(end, torch.OutOfMemoryError) for end in ends.values()) == [False, True]
    assert engine.most("single") == 8, "room was made"


def test_nothing_is_under_way_for_nobody(config: Config, tmp_path: Path) -> None:
    """It would keep a model that is to leave."""
    model = Separator(catalog.find("single", config), CPU)
    engine = Engine(max_batch=1)
    engine._transfers.depth = 2  # what a card would have
    engine.add(song(tmp_path / "a", noise(9.0), model, name="a"))
    list(engine.step())
    assert engine.remove("a", RuntimeError("cancelled"))
    alive = ref(model)
    del model
    gc.collect()
    assert alive() is None


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
