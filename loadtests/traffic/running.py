"""One run: what happens between locust's start and its end, and what is written of it then."""

import json
import os
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import msgspec
import requests
from locust import log as locust_log
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from tqdm import tqdm

from loadtests.traffic import pictures
from loadtests.traffic.partners import API
from loadtests.traffic.profile import load_thresholds
from loadtests.traffic.receiver import Receiver
from loadtests.traffic.site import Site
from loadtests.traffic.timeline import Queue
from loadtests.traffic.users import LIMITED
from loadtests.traffic.verdict import Resources, Route, Verdict, broken, table
from loadtests.traffic.waiting import retry_after
from loadtests.traffic.watch import Sample, growth

SAMPLE_S = 1.0
EVENTS = ["job.completed", "job.failed"]
TOLD = ("COMPLETED", "FAILED")  # the ends that they are of
LATE_S = 10.0  # in which a webhook comes, after the run
LAST_WORD_S = LATE_S + 10  # of the load machines, once their users have gone


class Run:
    """Locust's environment and this machine's `site`; on a master, what the load machines tell."""

    def __init__(self, environment: Environment, site: Site) -> None:
        self.environment, self.site = environment, site
        self.options: Any = environment.parsed_options
        self.users: list[tuple[float, int]] = []
        self.reports: dict[str, dict[str, Any]] = {}
        self.most_users: int | None = None
        self._webhook = ""
        # Its own: a master's options take the place of those of load machines.
        self._webhook_host: str = getattr(environment.parsed_options, "webhook_host", "")
        self._over = False
        heard = environment.events
        heard.test_start.add_listener(self.start)
        heard.test_stop.add_listener(self.stop)
        heard.request.add_listener(self.note)
        heard.report_to_master.add_listener(self.tell_master)
        heard.worker_report.add_listener(self.hear)
        heard.quitting.add_listener(self.finish)

    def start(self, **_: Any) -> None:
        """Registers our receiver, and begins to look at the queue, once there are songs."""
        self.site.ready.wait()
        self.site.began = time.monotonic()
        gevent.spawn(self._look)
        if self._webhook_host and not isinstance(self._runner, MasterRunner):
            self._register(Receiver(self._webhook_host))

    def stop(self, **_: Any) -> None:
        """Takes our webhook away: nobody listens any more. A master waits for last reports."""
        receiver, self.site.receiver = self.site.receiver, None
        if receiver is not None:
            self.site.hooks = receiver.counts
            self.site.webhooks_missing += self._never_told(receiver)
            self._ask("DELETE", f"/webhooks/{self._webhook}")
            receiver.close()
        self._over = True
        until = time.monotonic() + LAST_WORD_S
        while not all(r["over"] for r in self.reports.values()) and time.monotonic() < until:
            gevent.sleep(0.5)

    def end(self) -> None:
        """Lets every load machine end its users: at the end of a shape a master of itself only
        leaves them."""
        if isinstance(self._runner, MasterRunner):
            self._runner.stop()

    def note(self, name: str, request_type: str, response_time: float, **more: Any) -> None:
        """One answer."""
        self.site.timeline.add(self.site.now(), _named(request_type, name), response_time)
        if more.get("exception") is not None:
            self.site.failed_at.append(self.site.now())
            self.site.errors[f"{name}: {more['exception']}"[:100]] += 1

    def tell_master(self, client_id: str, data: dict[str, Any]) -> None:
        """On a load machine."""
        data["site"] = self._report()

    def hear(self, client_id: str, data: dict[str, Any]) -> None:
        """On the master."""
        self.reports[client_id] = data["site"]

    def finish(self, **_: Any) -> None:
        """Writes what was found; the exit code says whether the thresholds were kept."""
        if isinstance(self._runner, WorkerRunner):
            return
        samples = read_samples(self.options.samples)
        verdict = self._verdict(samples)
        sentences = broken(verdict, load_thresholds(Path(self.options.thresholds)))
        folder = Path(self.options.report)
        folder.mkdir(parents=True, exist_ok=True)
        found = msgspec.to_builtins(verdict) | {"not_kept": sentences}
        (folder / "verdict.json").write_text(json.dumps(found, indent=1))
        text = table(verdict, sentences)
        (folder / "verdict.txt").write_text(text + "\n")
        pictures.draw(self.site, self.users, samples, folder / "verdict.png")
        print(f"\n{text}\n\n{folder}/verdict.json, .txt and .png")
        self.environment.process_exit_code = 1 if sentences else 0

    def _verdict(self, samples: list[Sample]) -> Verdict:
        reports = list(self.reports.values()) or [self._report()]
        crashed = sum(row["count"] for row in self._runner.exceptions.values())
        crashed += sum(report["hooks_crashed"] for report in reports)
        if self.reports:  # a master of itself, and machines that are gone without a last word
            crashed += self._report()["hooks_crashed"]
            crashed += sum(not report["over"] for report in reports)
        seconds = max(1e-9, self.site.now())
        jobs = _summed(reports, "outcomes")
        audio = sum(report["audio_seconds"] for report in reports)
        taken = resources(samples)
        cores = sum(taken.core_seconds.values()) if taken else 0.0
        queues = [queue for _, queue in self.site.queues]
        return Verdict(
            profile=self.options.traffic, seconds=round(seconds, 1),
            load_average=os.getloadavg()[1], routes=_routes(self.environment),
            errors=_summed(reports, "errors"), jobs=jobs,
            jobs_a_minute=round(60 * jobs.get("completed", 0) / seconds, 2),
            audio_seconds_a_second=round(audio / seconds, 3),
            core_seconds_an_audio_minute=60 * cores / audio if taken and audio else None,
            deepest_queue=max((queue.unfinished for queue in queues), default=0),
            oldest_waiting_s=round(max((queue.oldest_s for queue in queues), default=0.0), 2),
            longest_wait_s=round(max(report["longest_wait_s"] for report in reports), 2),
            webhooks=_summed(reports, "webhooks"), bad_clients=_summed(reports, "bad_clients"),
            crashes=crashed,
            resources=taken, most_users=self.most_users,
        )  # fmt: skip

    @property
    def _runner(self) -> Any:
        return self.environment.runner

    def _report(self) -> dict[str, Any]:
        crashed = int(locust_log.unhandled_greenlet_exception)
        return self.site.report() | {"hooks_crashed": crashed, "over": self._over}

    def _look(self) -> None:
        runner = self._runner
        with tqdm(total=self._length(), unit="s", desc=self.options.traffic) as bar:
            while runner.state not in ("stopped", "stopping"):
                reports = list(self.reports.values()) or [self.site.report()]
                now, queue = self.site.now(), Queue.of_all([Queue(*r["queue"]) for r in reports])
                self.site.queues.append((now, queue))
                self.users.append((now, runner.user_count))
                completed = _summed(reports, "outcomes").get("completed", 0)
                bar.set_postfix(users=runner.user_count, jobs=queue.unfinished,
                                completed=completed)
                bar.update(round(now) - bar.n)
                gevent.sleep(SAMPLE_S)

    def _length(self) -> int | None:
        shape = self.site.profile.shape
        return None if shape.kind == "search" else round(shape.seconds)

    def _register(self, receiver: Receiver) -> None:
        made = self._ask("POST", "/webhooks", {"url": receiver.url, "events": EVENTS})
        receiver.secret, self._webhook = made["secret"], made["id"]
        self.site.receiver = receiver

    def _never_told(self, receiver: Receiver) -> int:
        """How many jobs have ended of which nothing was told to those who waited to the last."""
        ended = [job_id for job_id in receiver.untold()
                 if self._ask("GET", f"/jobs/{job_id}")["status"] in TOLD]
        until = time.monotonic() + LATE_S
        return sum(not receiver.wait(job_id, max(0.0, until - time.monotonic()))
                   for job_id in ended)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.site.key}"}
        url = f"{self.environment.host}{API}{path}"
        while True:
            answer = requests.request(method, url, json=body, headers=headers, timeout=30)
            if answer.status_code not in LIMITED:
                answer.raise_for_status()
                return answer.json()
            gevent.sleep(retry_after(answer.headers, 1.0))


def resources(samples: list[Sample]) -> Resources | None:
    """What the samples say; None of too few."""
    if len(samples) < 2:
        return None
    memory = [sample.memory_mb for sample in samples]
    handles = [float(sample.handles) for sample in samples]
    return Resources(
        core_seconds=core_seconds(samples),
        peak_memory_mb=max(memory), memory_growth_mb=growth(memory),
        peak_handles=round(max(handles)), handles_growth=growth(handles),
        peak_data_mb=max(sample.data_mb for sample in samples),
        database_mb=samples[-1].database_mb,
    )  # fmt: skip


def core_seconds(samples: list[Sample]) -> dict[str, float]:
    """CPU seconds by kind of process. What a process that has died took is not lost."""
    found: defaultdict[str, float] = defaultdict(float)
    for before, after in pairwise(samples):
        for kind, seconds in after.cpu_s.items():
            found[kind] += max(0.0, seconds - before.cpu_s.get(kind, 0.0))
    return {kind: round(seconds, 1) for kind, seconds in found.items()}


def read_samples(path: str) -> list[Sample]:
    """The samples that were taken so far, one a line; none without a file."""
    if not path or not Path(path).exists():
        return []
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [Sample(**json.loads(line)) for line in lines if line.endswith("}")]


def _named(request_type: str, name: str) -> str:
    return f"JOB {name}" if request_type == "JOB" else name


def _routes(environment: Environment) -> list[Route]:
    found = []
    for entry in environment.stats.entries.values():
        p50, p95, p99 = (float(entry.get_response_time_percentile(share) or 0)
                         for share in (0.5, 0.95, 0.99))  # fmt: skip
        found.append(Route(_named(entry.method, entry.name), entry.num_requests,
                           entry.num_failures, p50, p95, p99,
                           float(entry.max_response_time)))  # fmt: skip
    return found


def _summed(reports: list[dict[str, Any]], name: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report[name])
    return dict(total)
