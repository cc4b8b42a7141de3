"""What webhooks and callbacks say: each API's own words for a job that has ended."""

import time

from server.api import wire as pipeline
from server.api.ports import Delivery, Job, JobService, SplitService
from server.api.signing import DownloadGrant, Signer
from server.api.v1 import wire
from server.api.wire import ENCODER
from server.config import Config


class Letters:
    """Writes the bodies. URLs in them begin with `server.public_url`, or the server's address."""

    def __init__(
        self, config: Config, jobs: JobService, split: SplitService, signer: Signer
    ) -> None:
        server = config.server
        host = f"[{server.host}]" if ":" in server.host else server.host
        self._base = server.public_url.rstrip("/") or f"http://{host}:{server.port}"
        self._jobs = jobs
        self._split = split
        self._signer = signer

    def write(self, job: Job, delivery: Delivery) -> bytes:
        """The body that tells of the job's end: a pipeline job's manifest, or a WebhookPayload."""
        if job.api == "pipeline":
            return ENCODER.encode(pipeline.job_answer(self._jobs.view(job)))
        view = self._split.view(job)
        return ENCODER.encode(
            wire.payload(view, delivery.event, delivery.created_at, self._mint, time.time())
        )

    def _mint(self, job_id: str, name: str, expires: int) -> str:
        return self._base + self._signer.download_path(DownloadGrant(job_id, name, expires))
