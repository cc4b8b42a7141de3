"""The median program, run on Python numbers."""

import random

import pytest

from kernels.network import HIGH, LOW, median_network


def run(network, values):
    """Run the program on plain numbers, one lane."""
    slots = list(values) + [None] * (network.slots - len(values))
    for kind, a, b, low, high in network.steps:
        x, y = slots[a], slots[b]
        if kind != HIGH:
            assert low not in (a, b)
            slots[low] = min(x, y)
        if kind != LOW:
            assert high not in (a, b)
            slots[high] = max(x, y)
    return [slots[i] for i in network.outputs]


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 64, 101])
@pytest.mark.parametrize("max_tile", [1, 4, 16])
def test_finds_the_medians(size, max_tile):
    network = median_network(size, max_tile)
    inputs = size + network.tile - 1
    rng = random.Random(size)
    for _ in range(10):
        values = [rng.randrange(40) for _ in range(inputs)]
        wanted = [sorted(values[i : i + size])[size // 2] for i in range(network.tile)]
        assert run(network, values) == wanted


@pytest.mark.parametrize("size", [3, 5, 6])
def test_every_input_of_zeros_and_ones(size):
    """What sorts all zeros and ones sorts everything (Knuth's 0-1 principle)."""
    network = median_network(size)
    inputs = size + network.tile - 1
    for bits in range(2**inputs):
        values = [bits >> i & 1 for i in range(inputs)]
        wanted = [sorted(values[i : i + size])[size // 2] for i in range(network.tile)]
        assert run(network, values) == wanted


def test_neighbours_share_their_work():
    """Size 31 takes at most 35 minima and maxima a median; sorting each window takes 370."""
    network = median_network(31)
    work = sum(1 if kind in (LOW, HIGH) else 2 for kind, *_ in network.steps)
    assert work / network.tile <= 35


def test_a_broken_program_is_noticed():
    """The check above can fail: with any one step left out, some medians are wrong."""
    network = median_network(5)
    for left_out in range(len(network.steps)):
        steps = network.steps[:left_out] + network.steps[left_out + 1 :]
        broken = type(network)(network.size, network.tile, network.slots, steps, network.outputs)
        rng, wrong = random.Random(1), 0
        for _ in range(200):
            values = [rng.random() for _ in range(6)]
            try:
                wrong += run(broken, values) != run(network, values)
            except TypeError:  # a slot that nothing wrote to
                wrong += 1
        assert wrong


def test_rejects_an_empty_window():
    with pytest.raises(ValueError, match="at least 1"):
        median_network(0)
