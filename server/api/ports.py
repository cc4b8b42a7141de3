"""All that the HTTP layer takes from the jobs room, by these names alone."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from server.audio.heard import Heard
from server.jobs.accounts import Accounts, Booked
from server.jobs.disk.track_files import TrackFile
from server.jobs.health import Health
from server.jobs.idempotency import Idempotency, meaning, meaning_of
from server.jobs.keys import is_test
from server.jobs.listening.listening import Audible, Listening, TrackPeaks, Window
from server.jobs.listening.mixing import MixOrder
from server.jobs.listening.renders import Renders
from server.jobs.models import InstalledModel, Models
from server.jobs.orders import Created, Order, Request, SplitJob
from server.jobs.outlook import Outlook, Outlooks
from server.jobs.pipeline_jobs import JobView, Upload
from server.jobs.plan import StageView
from server.jobs.sources.uploads import Uploads
from server.jobs.stemsplit_jobs import StemSplitJobs
from server.jobs.webhooks.deliveries import Attempt, Deliveries, SentEvent
from server.jobs.webhooks.registering import Webhook, Webhooks
from server.jobs.webhooks.sending import Delivery, Job

__all__ = [
    "Accounts",
    "Attempt",
    "Audible",
    "Booked",
    "Created",
    "Deliveries",
    "Delivery",
    "Health",
    "Heard",
    "Idempotency",
    "InstalledModel",
    "Job",
    "JobView",
    "Listening",
    "MixOrder",
    "Models",
    "Order",
    "Outlook",
    "Outlooks",
    "PipelineJobs",
    "Renders",
    "Request",
    "SentEvent",
    "Services",
    "SplitJob",
    "StageView",
    "StemSplitJobs",
    "TrackFile",
    "TrackPeaks",
    "Upload",
    "Uploads",
    "Webhook",
    "Webhooks",
    "Window",
    "is_test",
    "meaning",
    "meaning_of",
]  # fmt: skip


class Services(NamedTuple):
    """Everything in the jobs room that HTTP calls, but the pipeline API's jobs."""

    stemsplit: StemSplitJobs
    accounts: Accounts
    uploads: Uploads
    webhooks: Webhooks
    deliveries: Deliveries
    listening: Listening
    outlooks: Outlooks
    renders: Renders
    health: Health
    models: Models

    async def outlook_of(self, job: SplitJob) -> Outlook | None:
        """How a StemSplit job stands; None for one that has failed or expired."""
        if job.status not in ("pending", "processing", "completed"):
            return None
        return await self.outlooks.of(job.job)


class PipelineJobs(Protocol):
    """`server.jobs.pipeline_jobs.PipelineJobs` as HTTP calls it, or a fake in the tests."""

    async def reserve(self, size: int, caller: str) -> tuple[str, Path]:
        """A new job's id and its existing, empty spool folder, for at most `size` bytes of a
        caller's.

        Raises:
            ServerBusy: too many jobs wait.
            DiskFull: too little room for new work.
        """

    async def discard(self, job_id: str) -> None:
        """Removes a reserved spool folder. Never raises for what is gone already."""

    async def submit(self, upload: Upload) -> JobView:
        """Probes and stores the upload, and starts the job.

        Raises:
            AudioError: the bytes are no audio that can be read.
            ServerBusy: too many jobs wait.
        """

    async def get(self, job_id: str, account_id: str | None = None) -> JobView:
        """The job, if it is this account's. Raises `JobNotFound`."""

    async def sum_up(self, view: JobView) -> JobView:
        """The job with size and CRC-32 of every track. Raises OSError: a file is gone."""

    async def delete(self, job_id: str, account_id: str | None = None) -> None:
        """Stops the job and removes it with its files. Raises `JobNotFound`."""

    def view(self, job: Job) -> JobView:
        """A stored job as its API shows it."""

    def about(self) -> dict[str, Any]:
        """More keys for `/config`: the models that serve, the devices."""
