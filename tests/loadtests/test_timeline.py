"""What is seen of a run: answer times, jobs under way, what processes take."""

from collections import Counter

import pytest

from loadtests.traffic.timeline import BUCKET, Journal, Queue, Timeline, percentile
from loadtests.traffic.watch import Sample, growth, utilisation


def sample(at: float, **cpu_s: float) -> Sample:
    return Sample(at, cpu_s, 100.0, 10, len(cpu_s), 0.0, 0.0)


@pytest.mark.parametrize(("share", "ms"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles(share: float, ms: float) -> None:
    assert percentile(Counter(range(1, 101)), share) == ms


def test_nothing_has_no_percentile() -> None:
    assert percentile(Counter(), 0.99) == 0.0


def test_answers_are_found_by_their_time() -> None:
    timeline = Timeline()
    for second in range(40):
        timeline.add(second, "GET /a", 10 + second)
    timeline.add(3, "GET /b", 7)
    assert timeline.between(10, 20, "GET /a") == Counter(range(20, 30))
    assert timeline.between(0, BUCKET, "GET /b") == Counter([7])
    assert timeline.between(10, 20, "GET /b") == Counter()
    assert timeline.series("GET /b", 0.5) == [(0.0, 7.0)]
    assert timeline.series("GET /a", 1.0)[1] == (BUCKET, 19.0)
    assert timeline.series("GET /never", 0.5) == []


def test_a_job_from_its_posting_to_its_end() -> None:
    journal = Journal()
    journal.accepted("a", 10.0)
    journal.accepted("b", 12.0)
    journal.accepted("told", 12.0, watched=False)
    assert journal.queue(15.0) == Queue(unfinished=3, waiting=2, oldest_s=5.0)
    assert journal.begun("a", 16.0) == 6.0
    assert journal.begun("a", 20.0) is None, "once only"
    assert journal.begun("told", 20.0) is None, "nobody has looked"
    assert journal.queue(20.0) == Queue(3, 1, 8.0)
    journal.accepted("left", 18.0)
    assert journal.queue(20.0).waiting == 2
    journal.left("left")
    journal.left("never heard of")
    assert journal.queue(20.0) == Queue(3, 1, 8.0), "whoever posted it is gone"
    journal.ended("a", "completed", 30.0)
    journal.ended("b", "cancelled", 30.0)
    journal.ended("told", "failed", 30.0)
    assert journal.queue(99.0) == Queue(0, 0, 0.0)
    assert journal.report() == {"outcomes": {"completed": 1, "cancelled": 1, "failed": 1},
                                "audio_seconds": 30.0, "longest_wait_s": 6.0}  # fmt: skip


def test_busy_cores_of_each_kind() -> None:
    samples = [sample(0, API=1, audio=5), sample(2, API=2, audio=9), sample(4, API=2, audio=6)]
    found = utilisation(samples)
    assert found == {"API": [(2, 0.5), (4, 0.0)], "audio": [(2, 2.0), (4, 0.0)]}, (
        "a process that has died took nothing back")


def test_growth_leaves_the_warming_up_out() -> None:
    assert growth([0, 0, 50, 100, 100, 100, 100, 100, 100]) == 0
    assert growth([0, 0, 0, 100, 100, 100, 160, 160, 160]) == 60
    assert growth([1, 2]) == 0
