"""Users of the pipeline API: each posts a song, watches its job and fetches what came out.

`make load` runs a minute of it against a server on this machine. A job that fails, or one that
is not done within its time, counts as a failure.
"""

import io
import time

import numpy as np
import soundfile as sf
from locust import HttpUser, between, events, task

from server.starter.songs import synthesise

SECONDS = 10
PATIENCE = 300.0  # seconds for one job
POLL = 0.5


def make_song(seed: int = 2_000_003) -> bytes:
    """A short FLAC."""
    mix = np.sum(list(synthesise(seed, SECONDS).values()), axis=0)
    file = io.BytesIO()
    sf.write(file, mix.T, 44100, format="FLAC")
    return file.getvalue()


SONG = make_song()


class Listener(HttpUser):
    """Posts a song, polls its job, downloads a track and the ZIP."""

    wait_time = between(0.5, 2)

    @task
    def song(self) -> None:
        began = time.monotonic()
        with self.client.post("/process", files={"file": ("song.flac", SONG)},
                              catch_response=True) as answer:
            if answer.status_code == 503:  # the queue is full, and says so: that is its promise
                answer.success()
                return
            if answer.status_code != 200:
                return
        job = answer.json()["job_id"]
        status = "processing"
        while status == "processing" and time.monotonic() - began < PATIENCE:
            time.sleep(POLL)
            status = self.client.get(f"/job/{job}", name="/job/{id}").json()["status"]
        events.request.fire(
            request_type="JOB", name="accepted to completed", response_length=0, context={},
            response_time=1000 * (time.monotonic() - began),
            exception=None if status == "completed" else RuntimeError(f"job is {status}"),
        )
        if status == "completed":
            self.client.get(f"/download/{job}/vocals", name="/download/{id}/{track}")
            self.client.get(f"/download/{job}/all", name="/download/{id}/all")
