"""Two accounts: what is one's is to the other as if it were not, on every route of both APIs.

The routes are the app's own. Each is asked, with another's key and signature, for everything that
Ann has, for what nobody has, and for what is no id at all; she herself is answered.
"""

import hashlib
import http.client
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import pytest

from server.api import create_app
from server.api.signing import BASE, Signer
from server.config import load
from tests.api.fakes import FakeFigures, FakeJobs, fake_services
from tests.e2e.calling import Caller, new_key
from tests.e2e.conftest import write_song
from tests.harness import Server, serving, wait_for
from tests.receiver import receiving
from tests.routes import Served, routes_of

TABLES = {"jobs", "stages", "tracks", "ledger", "uploads", "first_answers", "webhooks",
         "deliveries", "attempts", "keys", "accounts"}  # fmt: skip
IDS = {"job_id", "id", "account", "random"}
NAMES = {"track_name": "vocals", "name": "vocals.mp3", "file": "index.html"}
NOBODY = "00000000-0000-4000-8000-000000000000"
QUERY = {"window": "tracks=vocals&seconds=0.1"}


class Owner(NamedTuple):
    """What one account has: its ids by what they name, the signed query of every URL it got."""

    caller: Caller
    ids: dict[str, str]
    signed: dict[str, str]


class Wire:
    """Requests whose path goes out as it is written, over one connection."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(
        self, method: str, path: str, key: str | None = None, body: bytes | None = None
    ) -> tuple[int, bytes]:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        for last in (False, True):
            try:
                self._connection.request(method, path, body, headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection.close()  # kept alive for too long, or cut after a refused body
                if last:
                    raise
        raise AssertionError


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("two") / "data", limits__requests_per_minute=1_000_000,
                 pipeline__auth="api_key", fetch__allow_networks="127.0.0.0/8") as running:
        yield running


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", 1.5).read_bytes()


@pytest.fixture(scope="module")
def owners(box: Server, song: bytes) -> Iterator[tuple[Owner, Owner]]:
    """Ann and Bob, who have one of everything each, and nothing of either is under way."""
    with receiving(lambda number: 500) as receiver:
        yield settle(box, "ann", song, receiver.url), settle(box, "bob", song, receiver.url)


def settle(box: Server, name: str, song: bytes, endpoint: str) -> Owner:
    caller = Caller(box, new_key(box, name))
    ticket = caller.http.post("/upload", json={"filename": "song.wav"}).json()
    assert httpx.put(ticket["uploadUrl"], content=song).status_code == 200
    job = caller.create(uploadKey=ticket["uploadKey"], outputType="FOUR_STEMS", quality="FAST",
                        outputFormat="MP3").json()
    with_key = {"Authorization": f"Bearer {caller.key}"}
    posted = httpx.post(f"{box.url}/process", files={"file": ("s.wav", song)}, headers=with_key)
    own = posted.json()["job_id"]
    wait_for(lambda: box.get(f"/job/{own}", headers=with_key).json()["status"] == "completed")
    assert caller.end_of(job["id"])["status"] == "COMPLETED"
    wait_for(lambda: not list((box.data / "scratch").iterdir()))  # the late stages too
    ended = caller.http.get(f"/jobs/{job['id']}").json()
    hook = caller.http.post("/webhooks", json={"url": f"{endpoint}/{name}"}).json()["id"]
    sent = caller.http.post(f"/webhooks/{hook}/test").json()["id"]
    wait_for(lambda: caller.http.get("/deliveries").json()["deliveries"][0]["state"] != "WAITING")
    urls = [ticket["uploadUrl"], ended["outputs"]["vocals"]["url"], *_urls(ended["studio"])]
    signed = {urlsplit(url).path: urlsplit(url).query for url in urls}
    account, random = ticket["uploadKey"].split("/")[1:3]
    return Owner(caller, {"pipeline job": own, "job": job["id"], "webhook": hook, "delivery": sent,
                          "account": account, "random": random}, signed)  # fmt: skip


def _urls(studio: dict[str, Any]) -> list[str]:
    return [value for value in studio.values() if isinstance(value, str) and "://" in value]


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[Served]:
    config = load(environ={}, flags={"pipeline.auth": "api_key"})
    jobs = FakeJobs(tmp_path_factory.mktemp("none"))
    return routes_of(create_app(config, jobs, fake_services(), Signer(b"s" * 32), FakeFigures()))


def hostile(known: str) -> list[str]:
    """What is no id, some of it made from one; as it stands in a path."""
    raw = ["..", ".", "*", "%", "_" * 36, "null", "0", "-1", "' OR '1'='1", "x' --", "\x00", "\n",
           "a" * 5000, "１２３", "\ud7ff", "{}", "[]", "$ne", "../../stembox.db", "..\\secret",
           known.upper(), known[:-1], f"{known} ", f" {known}", f"{known}\x00", f"{known}\n",
           f"{known};x", f"{known}?x", f"{known}#x", f"{known}'--", f"../{known}", f"{known}/..",
           f"{known}%00", f"x/../{known}", f"{known}%", f"{known},{NOBODY}"]  # fmt: skip
    encoded = [quote(value, safe="") for value in raw]
    return [*encoded, f"./{known}", f"x/../{known}", f"{known}/", f"/{known}", "%ff%fe", "%c0%af"]


def state(data: Path) -> tuple[list[tuple[object, ...]], dict[str, str]]:
    """All rows of what accounts have, and all files."""
    with closing(sqlite3.connect(f"file:{data}/stembox.db?mode=ro", uri=True)) as db:
        rows = [(table, *row) for table in sorted(TABLES)
                for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
    files = [path for kind in ("outputs", "uploads", "spool") for path in (data / kind).rglob("*")]
    return rows, {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
                  for path in files if path.is_file()}  # fmt: skip


def queries(route: Served, owner: Owner) -> list[str]:
    """Nothing signed, and every signature that an owner has for such a path."""
    last = route.path.rsplit("/", 1)[-1]
    plain = QUERY.get(last, "")
    if not route.path.startswith((f"{BASE}/downloads", f"{BASE}/uploads")):
        return [plain]
    return [plain, *(f"{query}&{plain}" for query in owner.signed.values())]


def places(route: Served, values: dict[str, str], owner: Owner) -> list[str]:
    """The path with each of its ids replaced in turn, the others as their owner has them."""
    found = []
    for parameter in set(route.parameters) & IDS:
        rest = {name: owner.ids.get(name, owner.ids["job"]) for name in route.parameters} | NAMES
        if route.path.startswith(f"{BASE}/uploads"):
            rest["name"] = "input.wav"
        found += [route.at(**rest | {parameter: value}) for value in values.values()]
    return found


def test_every_parameter_is_known(routes: list[Served]) -> None:
    """A new one must be told here what it names, before anything else passes."""
    assert {name for route in routes for name in route.parameters} == IDS | set(NAMES)
    assert len(routes) > 30
    assert {route.path.startswith(BASE) for route in routes} == {True, False}


def test_what_is_anothers_is_as_if_it_were_not(
    box: Server, owners: tuple[Owner, Owner], routes: list[Served]
) -> None:
    ann, bob = owners
    wire, before = Wire(box), state(box.data)
    asked = 0
    for route in routes:
        for query in queries(route, bob):
            body = b"bytes" if route.method == "PUT" else None
            for key in (bob.caller.key, None):
                unknown = {wire.ask(route.method, f"{path}?{query}", key, body)
                           for path in places(route, {"nobody's": NOBODY}, ann)}
                for path in places(route, ann.ids, ann):
                    status, answer = wire.ask(route.method, f"{path}?{query}", key, body)
                    assert 400 <= status < 500 and status != 405, (route, path, query)
                    assert (status, answer) in unknown, (route, path, query)
                    asked += 1
    assert asked > 300
    assert state(box.data) == before, "nothing was changed"


def test_no_hostile_value_is_anything(
    box: Server, owners: tuple[Owner, Owner], routes: list[Served]
) -> None:
    """Also for one's own: what is not exactly an id of one's own does nothing."""
    ann, bob = owners
    wire, before = Wire(box), state(box.data)
    canaries = [value.encode() for value in ann.ids.values()]
    for route in routes:
        for owner in (ann, bob):
            known = owner.ids["pipeline job" if "job_id" in route.parameters else "job"]
            values = {value: value for value in hostile(known)}
            query = queries(route, bob)[-1]
            for path in places(route, values, bob):
                method = route.method
                status, answer = wire.ask(method, f"{path}?{query}", bob.caller.key, b"")
                if 200 <= status < 300:  # a path of another route, which says nothing of anybody
                    assert method == "GET" and "%" not in path, (route, path)
                else:
                    assert 400 <= status < 500, (route, path, status)
                assert owner is bob or not any(canary in answer for canary in canaries)
    assert state(box.data) == before, "nothing was changed"


def test_names_of_files_lead_nowhere_else(
    box: Server, owners: tuple[Owner, Owner], routes: list[Served]
) -> None:
    ann, bob = owners
    wire = Wire(box)
    theirs = [f"../{ann.ids['job']}/vocals.mp3", f"../{ann.ids['pipeline job']}/vocals", "..", "."]
    for route in routes:
        for parameter in set(route.parameters) & set(NAMES):
            job = bob.ids["pipeline job" if "job_id" in route.parameters else "job"]
            rest = {name: bob.ids.get(name, job) for name in route.parameters}
            for value in [*hostile("vocals"), *theirs, *(quote(name, safe="") for name in theirs)]:
                path = route.at(**rest | {parameter: value})
                for query in queries(route, bob):
                    status, answer = wire.ask(
                        route.method, f"{path}?{query}", bob.caller.key, b"")
                    assert b"RIFF" not in answer[:4] and b"SQLite" not in answer[:6]
                    assert 400 <= status < 500, (route, path, status)


def test_ids_in_queries_and_bodies(box: Server, owners: tuple[Owner, Owner]) -> None:
    ann, bob = owners
    before = state(box.data)
    key = f"uploads/{ann.ids['account']}/{ann.ids['random']}/input.wav"
    mine = f"uploads/{bob.ids['account']}/{ann.ids['random']}/input.wav"
    answers = [bob.caller.create(uploadKey=one, outputType="VOCALS")
               for one in (f"uploads/{NOBODY}/{NOBODY}/input.wav", key, mine, f"{key}/../{key}",
                           key.upper(), f"./{key}", f"{key}\x00")]  # fmt: skip
    assert {(a.status_code, a.json()["error"]["code"]) for a in answers} == {
        (400, "UPLOAD_NOT_FOUND")}
    assert len({a.json()["error"]["message"] for a in answers}) == 1
    refused = {bob.caller.http.get("/deliveries", params={"webhookId": value}).text
               for value in (ann.ids["webhook"], NOBODY, "%", "' OR '1'='1")}
    assert len(refused) == 1 and "WEBHOOK_NOT_FOUND" in refused.pop()
    for path in ("/jobs", "/webhooks", "/ledger", "/deliveries", "/balance"):
        told = bob.caller.http.get(path).text
        assert not [name for name, value in ann.ids.items() if value in told], path
        assert path == "/balance" or [v for v in bob.ids.values() if v in told], path
    assert state(box.data) == before


def test_a_key_of_idempotency_is_its_accounts_own(box: Server, owners: tuple[Owner, Owner]) -> None:
    answers = [
        owner.caller.http.post(f"/webhooks/{owner.ids['webhook']}/test",
                               headers={"Idempotency-Key": "the same"}).json()["id"]
        for owner in owners for _ in range(2)]  # fmt: skip
    assert answers[0] == answers[1] != answers[2] == answers[3]


def test_the_owner_herself_is_answered(
    box: Server, owners: tuple[Owner, Owner], routes: list[Served], song: bytes
) -> None:
    """Each request that was refused above is right but for who asks."""
    ann, _ = owners
    wire = Wire(box)
    removing = [route for route in routes if route.method == "DELETE"]
    for route in [*(r for r in routes if r.method != "DELETE"), *removing]:
        if not set(route.parameters) & IDS:
            continue
        kind = ("pipeline job" if "job_id" in route.parameters else
                "delivery" if "deliveries" in route.path else
                "webhook" if "webhooks" in route.path else "job")  # fmt: skip
        values = {name: ann.ids.get(name, ann.ids[kind]) for name in route.parameters} | NAMES
        if route.method == "PUT":
            values["name"] = "input.wav"
        path = route.at(**values)
        query = f"{ann.signed.get(path, '')}&{QUERY.get(route.path.rsplit('/', 1)[-1], '')}"
        body = song if route.method == "PUT" else None
        status, answer = wire.ask(route.method, f"{path}?{query}", ann.caller.key, body)
        assert status in (200, 202), (route, path, status, answer[:200])
