"""Signed URLs of jobs whose files are gone."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.api import create_app
from server.api.signing import DownloadGrant, Signer
from server.config import load
from server.errors import JobNotFound

from .fakes import FakeJobs, ask, fake_services

SIGNER = Signer(b"s" * 32)


class Jobs:
    """One job, which has expired."""

    async def find(self, job_id: str) -> Any:
        if job_id != "expired":
            raise JobNotFound("Job not found.")
        request = SimpleNamespace(file_name="a.wav")
        return SimpleNamespace(job=SimpleNamespace(id=job_id), request=request)

    def file(self, job: Any, name: str) -> None:
        return None


class Gone:
    """Finds nothing of any job, as `Listening` and `Renders` do of one that has expired."""

    async def window(self, *order: Any) -> Any:
        raise JobNotFound("Job not found")

    peaks = mix = stem_file = window


@pytest.mark.parametrize(("job_id", "told"), [
    ("expired", ("NOT_FOUND", "This file has been removed.")),
    ("other", ("JOB_NOT_FOUND", "Job not found.")),
])  # fmt: skip
@pytest.mark.parametrize("name", ["window", "peaks", "mix", "stems.stem.m4a", "vocals.mp3"])
def test_every_url_of_an_expired_job_says_that_its_files_are_gone(
    tmp_path: Path, name: str, job_id: str, told: tuple[str, str]
) -> None:
    """The job itself is still told of; only of one that never was it is said that there is none."""
    services = fake_services()._replace(stemsplit=Jobs(), listening=Gone(), renders=Gone())  # type: ignore[arg-type]
    app = create_app(load(environ={}), FakeJobs(tmp_path), services, SIGNER)
    signed = "vocals.mp3" if name == "vocals.mp3" else "studio"
    path = SIGNER.download_path(DownloadGrant(job_id, signed, int(time.time()) + 60))
    answer = ask(app, "GET", path.replace(f"/{signed}?", f"/{name}?tracks=vocals&"))
    assert answer.status_code == 404
    assert (answer.json()["error"]["code"], answer.json()["error"]["message"]) == told
