"""J2: a server that is killed at every seam loses nothing that it has answered for.

Each failpoint kills once, in the middle of real songs that go through both APIs; at the end every
job that the database knows has ended well, its tracks are a fault-free run's, and every rule holds.
"""

import itertools
import random
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.e2e.mortal import Mortal, mortal
from tests.harness import wait_for

# The seams of a job's way, and where a kill there happens.
SEAMS = {
    "upload": ["replace uploads before", "commit _receive before", "commit _receive after"],
    "acceptance": ["link spool/input after", "rename scratch after", "ledger insert hold",
                   "commit _create before", "commit _create after"],
    "claim": ["stages update processing", "commit _claim after"],
    "decode": ["replace scratch/mix.f32 before", "replace scratch/mix.f32 after"],
    "output rename": ["replace outputs/demucs_output/vocals.wav before",
                      "replace outputs/vocals.mp3 after"],
    "a worker's answer": ["result before"],
    "state commit": ["jobs update completed", "commit _finish before", "commit _finish after"],
    "ledger": ["ledger insert capture"],
    "outbox": ["deliveries insert waiting", "webhook posted", "deliveries update delivered"],
    "clearing away": ["remove scratch before"],
}  # fmt: skip
ROUNDS = 12  # songs by each API, after which every failpoint must have been come by


def kill_at(seams: Mortal, names: Iterable[str], how: str = "process") -> None:
    """Songs, until every one of these failpoints has killed."""
    wanted = set(names)
    seams.failpoints.kill_at(map(re.escape, wanted), how)
    for _ in range(ROUNDS):
        seams.round()
        if wanted <= seams.failpoints.died():
            break
    seams.failpoints.kill_at([])
    assert wanted <= seams.failpoints.died(), wanted - seams.failpoints.died()


def wrong(seams: Mortal) -> list[str]:
    """As in every chaos; and with attempts for all these kills no song may fail."""
    failed = seams.rows("SELECT id FROM jobs WHERE state = 'failed'")
    return seams.wrong() + [f"failed: {job}" for (job,) in failed]


@pytest.mark.timeout(900)
def test_a_kill_at_every_seam_loses_nothing(tmp_path: Path) -> None:
    with mortal(tmp_path, "", jobs__max_attempts=50) as seams:
        kill_at(seams, [name for names in SEAMS.values() for name in names])
        seams.round()  # without a fault: what all others are held against
        assert wrong(seams) == []
        wait_for(seams.nothing_left)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("bug", "seam", "sentence"), [
    ("row-before-files", "commit _create after", "failed: "),
    ("credits-apart", "ledger insert capture", "a hold that is not settled"),
])  # fmt: skip
def test_a_planted_bug_is_found(tmp_path: Path, bug: str, seam: str, sentence: str) -> None:
    assert seam in itertools.chain(*SEAMS.values())
    with mortal(tmp_path, bug, jobs__max_attempts=2) as seams:
        kill_at(seams, [seam])
        assert any(found.startswith(sentence) for found in wrong(seams))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("how", ["process", "group"])
def test_a_kill_at_every_failpoint_there_is(tmp_path: Path, how: str) -> None:
    """A few at a time: a song that goes down with the whole server too often is given up."""
    with mortal(tmp_path, "", jobs__max_attempts=50) as seams:
        seams.round()
        seams.failpoints.forget()  # some come by once, with the first row of a kind
        seams.round()
        names = sorted(seams.failpoints.seen())
        assert len(names) > 60 and set(itertools.chain(*SEAMS.values())) <= set(names)
        random.Random(5).shuffle(names)
        for first in range(0, len(names), 5):
            kill_at(seams, names[first : first + 5], how)
            assert wrong(seams) == [], names[first : first + 5]
        seams.round()
        assert wrong(seams) == []
        wait_for(seams.nothing_left)
