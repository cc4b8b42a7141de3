"""Which graph a batch goes through, with captures that need no card."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from server.engine.forwards.graphs import SIZES, Graphed, Memory


class Doubling(nn.Module):
    def forward(self, mix: Tensor) -> Tensor:
        return 2 * mix.flip(0)  # a row that is not there would be seen


class Replay:
    """What a captured graph does: the same forward from and to the same memory."""

    def __init__(self, model: nn.Module, given: Tensor) -> None:
        self._model, self._given, self.made = model, given, model(given)

    def replay(self) -> None:
        self.made.copy_(self._model(self._given))


class Pretended(Graphed):
    def _capture(self, given: Tensor) -> tuple:
        replay = Replay(self.model, given)
        return replay, given, replay.made


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 33, 64])
def test_a_batch_goes_through_the_next_larger_graph(count: int) -> None:
    graphed, mix = Pretended(Doubling(), 8, None), torch.randn(count, 2, 8)
    graphed(torch.randn(64, 2, 8))  # what an earlier, larger batch left must not be heard
    made = graphed(mix)
    size = min(size for size in SIZES if size >= count)
    assert {kind[0] for kind in graphed._graphs} == {64, size}
    full = torch.cat([mix, torch.zeros(size - count, 2, 8)])
    torch.testing.assert_close(made, Doubling()(full)[:count])


def test_other_shapes_are_launched_kernel_by_kernel() -> None:
    graphed = Pretended(Doubling(), 8, None)
    for mix in (torch.randn(65, 2, 8), torch.randn(1, 2, 7)):
        torch.testing.assert_close(graphed(mix), Doubling()(mix))
    assert not graphed._graphs


def test_a_capture_that_fails_is_not_tried_again() -> None:
    class Failing(Pretended):
        tries = 0

        def _capture(self, given: Tensor) -> tuple:
            Failing.tries += 1
            raise RuntimeError("operation not permitted when stream is capturing")

    graphed, mix = Failing(Doubling(), 8, None), torch.randn(2, 2, 8)
    for _ in range(3):
        torch.testing.assert_close(graphed(mix), Doubling()(mix))
    assert Failing.tries == 1


def test_too_little_memory_is_the_engines_to_handle() -> None:
    class Full(Pretended):
        def _capture(self, given: Tensor) -> tuple:
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Full(Doubling(), 8, None)(torch.randn(2, 2, 8))


def test_each_choice_of_networks_has_a_graph_of_its_own() -> None:
    class Chosen(Doubling):
        def forward(self, mix: Tensor, members: tuple[int, ...]) -> Tensor:
            return super().forward(mix) + len(members)

    class Asked(Graphed):
        def _capture(self, given: Tensor, *members: tuple[int, ...]) -> tuple:
            model = self.model
            replay = Replay(lambda given: model(given, *members), given)
            return replay, given, replay.made

    graphed, mix = Asked(Chosen(), 8, None), torch.randn(2, 2, 8)
    for members in ((0,), (0, 1), (0,)):
        torch.testing.assert_close(graphed(mix, members), Chosen()(mix, members))
    assert set(graphed._graphs) == {(2, ((0,),)), (2, ((0, 1),))}


class Stream:
    def __init__(self, *_: object) -> None:
        pass

    def wait_stream(self, _: object) -> None:
        pass


def test_graphs_that_share_memory_are_captured_on_one_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a graph has freed goes to its stream alone."""
    captures: list[tuple[Any, Any]] = []

    @contextmanager
    def graph(_: object, pool: Any, stream: Any, **__: object) -> Iterator[None]:
        captures.append((pool, stream))
        yield

    for name, pretended in {
        "Stream": Stream, "current_stream": Stream, "CUDAGraph": object, "graph": graph,
        "stream": nullcontext, "graph_pool_handle": object,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, pretended)
    memory = Memory.on(torch.device("cuda"))
    for network in (Graphed(Doubling(), 8, memory), Graphed(Doubling(), 8, memory)):
        for size in (1, 2):
            network._capture(torch.zeros(size, 2, 8))
    assert captures == [(memory.pool, memory.stream)] * 4
