"""What webhooks and callbacks say: each API's own words for a job that has ended."""

import time

from server.api.bodies import ENCODER
from server.api.pipeline import wire as pipeline
from server.api.ports import Delivery, Job, PipelineJobs, StemSplitJobs
from server.api.signing import DownloadGrant, Signer
from server.api.v1 import wire


class WebhookPayloads:
    """Writes the bodies. URLs in them begin as the account called the server for the job."""

    def __init__(
        self, pipeline_jobs: PipelineJobs, stemsplit_jobs: StemSplitJobs, signer: Signer
    ) -> None:
        self._pipeline_jobs = pipeline_jobs
        self._stemsplit_jobs = stemsplit_jobs
        self._signer = signer

    def write(self, job: Job | None, delivery: Delivery) -> bytes:
        """The body that tells of the job's end: a pipeline job's manifest, or a WebhookPayload.
        Without a job, one that tells of a job that never was."""
        if job is None:
            test = wire.test_payload(delivery.id, delivery.event, delivery.created_at)
            return ENCODER.encode(test)
        if job.api == "pipeline":
            return ENCODER.encode(pipeline.job_answer(self._pipeline_jobs.view(job)))
        view = self._stemsplit_jobs.view(job)

        def mint(job_id: str, name: str, expires: int) -> str:
            path = self._signer.download_path(DownloadGrant(job_id, name, expires))
            return view.request.base_url + path

        return ENCODER.encode(
            wire.payload(view, delivery.event, delivery.created_at, mint, time.time())
        )
