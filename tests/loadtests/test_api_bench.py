"""The benchmarks' own server: it goes stale unseen when what a worker says of itself changes."""

import urllib.request

from loadtests.api_bench import JOB, started


def test_the_server_that_is_measured_is_whole() -> None:
    with started() as side:
        asked = urllib.request.Request(f"http://127.0.0.1:{side.port}{JOB}",
                                       headers={"Authorization": f"Bearer {side.key}"})  # fmt: skip
        assert side.healthy()
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200
