"""What locust loads: the users, their number over time, and the options of a run.

`make load` runs it against a server of its own. Against one that runs, and on many load machines:
`locust -f loadtests/locustfile.py --headless --host URL --key KEY [--master | --worker]`.
"""

import sys
from pathlib import Path
from typing import Any

from locust import LoadTestShape, events
from locust.env import Environment

from loadtests.traffic import bad, partners, users
from loadtests.traffic.profile import Profile, load_profile
from loadtests.traffic.running import Run
from loadtests.traffic.search import Search, users_at
from loadtests.traffic.site import Site
from loadtests.traffic.songs import cache_folder
from loadtests.traffic.timeline import percentile

HERE = Path(__file__).parent
POLL = f"GET {partners.API}/jobs/{{id}}"
SETTLING = 0.3  # of a step, which is not judged
KINDS = {"Partner": "partner", "WebhookPartner": "webhook_partner", "PipelineUser": "pipeline",
         "Browser": "browser", "BadClient": "bad"}  # fmt: skip


class Partner(partners.Partner):
    """See `partners`."""


class WebhookPartner(partners.WebhookPartner):
    """See `partners`."""


class PipelineUser(users.PipelineUser):
    """See `users`."""


class Browser(users.Browser):
    """See `users`."""


class BadClient(bad.BadClient):
    """See `bad`."""


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """The options of a run."""
    parser.add_argument("--traffic", default="cores2", help="a name, or a .toml file")
    parser.add_argument("--thresholds", default=str(HERE / "traffic" / "thresholds.toml"))
    parser.add_argument("--report", default="load-report", help="folder for what was found")
    parser.add_argument("--key", default="", help="of the StemSplit API")
    parser.add_argument("--webhook-host", default="", help="this machine, as the server reaches it")
    parser.add_argument("--songs", default=str(cache_folder()), help="folder that keeps the songs")
    parser.add_argument("--samples", default="", help="file of the server's samples")


@events.init.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Makes the songs, and says how many users of each kind there are."""
    options: Any = environment.parsed_options
    if options is None or not hasattr(options, "traffic"):
        return
    profile = load_profile(options.traffic)
    for kind in environment.user_classes:
        kind.weight = getattr(profile.users, KINDS[kind.__name__])
    environment.user_classes = [kind for kind in environment.user_classes if kind.weight]
    users.SiteUser.site = site = Site(profile, options.key)
    run = Run(environment, site)
    site.prepare(Path(options.songs))
    if isinstance(environment.shape_class, Shape):
        environment.shape_class.prepare(run, profile)


class Shape(LoadTestShape):
    """As the profile's shape says. A search judges its steps by what this machine has seen."""

    def prepare(self, run: Run, profile: Profile) -> None:
        """Before the first tick."""
        self._run, self._shape = run, profile.shape
        self._search = Search(profile.shape.users)
        self._step_began = 0.0

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many of them begin or end a second; None at the end."""
        now = self.get_run_time()
        if self._shape.kind != "search":
            count = users_at(self._shape, now)
            return self._so_many(count, self._shape.spawn_rate)
        if now - self._step_began < self._shape.seconds:
            return self._search.users, self._search.users
        passed = self._passed(now)
        print(f"{self._search.users} users: {'passed' if passed else 'too many'}", file=sys.stderr)
        following = self._search.judge(passed)
        self._step_began = now
        self._run.most_users = self._search.best
        return self._so_many(following, following)

    def _so_many(self, count: int | None, rate: float | None) -> tuple[int, float] | None:
        if count is None or rate is None:
            self._run.end()
            return None
        return count, rate

    def _passed(self, now: float) -> bool:
        site, shape = self._run.site, self._shape
        since = self._step_began + SETTLING * shape.seconds
        polls = site.timeline.between(since, now, POLL)
        waits = site.timeline.between(since, now, "JOB accepted to begun")
        oldest = max((queue.oldest_s for at, queue in site.queues if at >= since), default=0.0)
        longest = max(oldest, max(waits, default=0) / 1000)
        slow, failed = percentile(polls, 0.99), sum(at >= since for at in site.failed_at)
        print(f"  {polls.total()} polls, p99 {slow:.0f} ms; longest wait {longest:.1f} s; "
              f"{failed} failures", file=sys.stderr)  # fmt: skip
        quick = slow <= shape.poll_p99_ms and longest <= shape.longest_wait_s
        return bool(polls) and quick and not failed
