"""Run as a process of its own: decodes mutated files, so that a crash kills this and no test.

Usage: mutations.py FOLDER SEED COUNT, or mutations.py FOLDER cut STEP for files that end at every
STEPth percent of them. Prints one line of counts; any other end is a defect.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from server.audio.decode import decode
from server.errors import AudioError
from server.work.scratch import FrameReader
from server.work.steps import finish

SECONDS = 5.0  # the limit: mutated headers may promise years


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A file with a few bytes changed, most of them in its headers, and sometimes cut or torn."""
    work = bytearray(data)
    for _ in range(chance.choice((1, 2, 4, 16))):
        reach = len(work) if chance.random() < 0.3 else min(200, len(work))
        work[chance.randrange(reach)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    kind = chance.random()
    if kind < 0.15:
        del work[chance.randrange(len(work)) :]
    elif kind < 0.3:
        start = chance.randrange(len(work))
        del work[start : start + chance.randrange(300)]
    return bytes(work)


def outcomes(folder: Path, seed: int, count: int) -> Iterator[str]:
    """Decodes `count` mutations of the files in `folder`; yields what became of each."""
    originals = [path.read_bytes() for path in sorted(folder.glob("seed.*"))]
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)
        yield outcome(folder, mutated(chance.choice(originals), chance), str(number))


def outcomes_of_cuts(folder: Path, step: int) -> Iterator[str]:
    """Decodes the files in `folder` up to every `step`th percent; yields what became of each."""
    for path in sorted(folder.glob("seed.*")):
        data = path.read_bytes()
        for percent in range(0, 100, step):
            yield outcome(folder, data[: len(data) * percent // 100], f"{path.name} {percent}")


def outcome(folder: Path, data: bytes, name: str) -> str:
    """What becomes of one file; its name is left where it is found after a crash."""
    (folder / "input").write_bytes(data)
    (folder / "number").write_text(name)
    try:
        finish(decode(folder / "input", folder / "mix.f32", SECONDS, "x.wav"))
    except AudioError as error:
        return type(error).__name__ if error.message else "an error without a sentence"
    with FrameReader(folder / "mix.f32") as mix:
        assert 0 < mix.frames <= SECONDS * 44100
        assert np.isfinite(mix.read(0, mix.frames)).all()
    return "decoded"


if __name__ == "__main__":
    where, how, many = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    found = outcomes_of_cuts(where, many) if how == "cut" else outcomes(where, int(how), many)
    print(dict(Counter(found)))
