"""Two whole servers behind nginx, with the configuration that is shipped: a job is where its id
says, an account where its key does, and a box that is away takes nobody else's jobs with it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import write_song
from tests.harness import Server, free_port, on_its_own, wait_for

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CONFIG = Path(__file__).resolve().parents[2] / "server" / "upkeep" / "boxes.nginx.conf"
BOXES = ("a0", "b1")

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.timeout(600),
]


class Boxes:
    """Two servers, a proxy before them, and an account on each with its key."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.servers = {
            box: Server(
                folder / box, server__box=box, server__trusted_proxies="127.0.0.1",
                server__public_url=f"http://{box}.test", audio__workers=1,
                models__balanced="starter_fast",
            ) for box in BOXES
        }  # fmt: skip
        for server in self.servers.values():
            server.start(ready=False)
        for server in self.servers.values():
            wait_for(server.healthy)
        self.keys = {box: key_of(server.data) for box, server in self.servers.items()}
        self._folder = folder / "nginx"
        self._folder.mkdir()
        (self._folder / "nginx.conf").write_text(self._config())
        self._proxy = subprocess.Popen(
            [str(NGINX), "-p", str(self._folder), "-c", "nginx.conf", "-e", "error.log",
             "-g", "daemon off; pid nginx.pid;"], preexec_fn=on_its_own,
        )  # fmt: skip
        wait_for(self._answers)

    def _config(self) -> str:
        """The configuration that is shipped, with this machine's addresses, names and keys."""
        text = CONFIG.read_text()
        temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{name}_temp_path {name};" for name in temporary)
        text = text.replace("http {", f"http {{ access_log off; {paths}", 1)
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self.port}")
        for place, box in enumerate(BOXES):
            text = text.replace(f"10.0.0.1{place}:8000", f"127.0.0.1:{self.servers[box].port}")
            text = text.replace(f"{box}.stems.example.com", f"{box}.test")
            text = text.replace("sk_live_" + "AB"[place] * 8, self.keys[box][:16])
        assert "10.0.0.1" not in re.sub(r"#.*", "", text)
        return text

    def _answers(self) -> bool:
        assert self._proxy.poll() is None, (self._folder / "error.log").read_text()
        try:
            return httpx.get(f"{self.url}/health", timeout=60).status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **more: object) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **more)

    def post_song(self, song: Path, **more: object) -> str:
        answer = httpx.post(f"{self.url}/process", files={"file": song.open("rb")}, timeout=60,
                            **more)  # fmt: skip
        assert answer.status_code == 200, answer.text
        return str(answer.json()["job_id"])

    def ended(self, job: str) -> bool:
        return self.get(f"/job/{job}").json()["status"] != "processing"

    def close(self) -> None:
        self._proxy.terminate()
        self._proxy.wait(30)
        for server in self.servers.values():
            server.kill()


def key_of(data: Path) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "server.cli", "keys", "create", "--account", "label",
         "--minutes", "5", "--data-dir", str(data)], capture_output=True, text=True, check=True,
    )  # fmt: skip
    return made.stdout.strip()


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    boxes = Boxes(tmp_path_factory.mktemp("boxes"))
    yield boxes
    boxes.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("song") / "song.wav", 3)


def direct(url: str, boxes: Boxes) -> tuple[str, dict[str, str]]:
    """A signed URL as the proxy gets it: its path there, and the name that it asks for."""
    parsed = httpx.URL(url)
    return f"{boxes.url}{parsed.raw_path.decode()}", {"Host": parsed.host}


def test_a_job_is_served_by_the_box_that_has_it(boxes: Boxes, song: Path) -> None:
    jobs = [boxes.post_song(song) for _ in range(4)]
    assert {job[:2] for job in jobs} == set(BOXES)  # both have got some
    for job in jobs:
        wait_for(lambda job=job: boxes.ended(job))
        view = boxes.get(f"/job/{job}").json()
        assert (view["status"], len(view["outputs"])) == ("completed", 9)
        assert boxes.servers[job[:2]].job(job)["status"] == "completed"
        other = boxes.servers[next(box for box in BOXES if box != job[:2])]
        assert other.get(f"/job/{job}").status_code == 404
        track = boxes.get(f"/download/{job}/vocals")
        assert track.content == Path(view["outputs"]["vocals"]).read_bytes()
    assert boxes.get("/job/c2000000-0000-4000-8000-000000000000").status_code == 404


@pytest.mark.parametrize("box", BOXES)
def test_an_account_is_served_by_the_box_that_has_it(boxes: Boxes, song: Path, box: str) -> None:
    """From the upload URL to the stems, all by the one address."""
    headers, api = {"Authorization": f"Bearer {boxes.keys[box]}"}, f"{boxes.url}/api/v1"
    with httpx.Client(timeout=60) as client:
        ticket = client.post(f"{api}/upload", headers=headers,
                             json={"filename": "song.wav"}).json()  # fmt: skip
        url, named = direct(ticket["uploadUrl"], boxes)
        assert client.put(url, content=song.read_bytes(), headers=named).status_code == 200
        job = client.post(f"{api}/jobs", headers=headers, json={
            "uploadKey": ticket["uploadKey"], "outputType": "VOCALS", "quality": "FAST",
            "outputFormat": "WAV"}).json()
        assert job["id"].startswith(box)

        def completed() -> dict[str, object] | None:
            view = client.get(f"{api}/jobs/{job['id']}", headers=headers).json()
            return view if view["status"] == "COMPLETED" else None

        url, named = direct(wait_for(completed, 240)["outputs"]["vocals"]["url"], boxes)
        assert client.get(url, headers=named).content[:4] == b"RIFF"
        stranger = {"Authorization": f"Bearer {boxes.keys['a0' if box == 'b1' else 'b1']}"}
        assert client.get(f"{api}/jobs/{job['id']}", headers=stranger).status_code == 401


def test_a_box_that_is_away_takes_nobody_elses_jobs_with_it(boxes: Boxes, song: Path) -> None:
    jobs: dict[str, str] = {}
    while set(jobs) != set(BOXES):
        job = boxes.post_song(song)
        jobs[job[:2]] = job
    for job in jobs.values():
        wait_for(lambda job=job: boxes.ended(job))
    boxes.servers["b1"].kill()
    assert boxes.get(f"/job/{jobs['a0']}").json()["status"] == "completed"
    assert boxes.get(f"/job/{jobs['b1']}").status_code == 502
    assert {boxes.post_song(song)[:2] for _ in range(3)} == {"a0"}
    boxes.servers["b1"].start(ready=False)
    wait_for(boxes.servers["b1"].healthy)
    assert boxes.get(f"/job/{jobs['b1']}").json()["status"] == "completed"
