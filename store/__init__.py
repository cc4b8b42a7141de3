"""Jobs and what belongs to them, kept in SQLite. Knows no HTTP, no audio and no server.

The database is the only truth: a process may die at any instruction and nothing that was
answered to a client is lost.
"""

from store.accounts import AccountRepository
from store.clock import ClockRepository
from store.connection import Database, DatabaseError
from store.credits import CreditRepository, Entry, InsufficientCredits
from store.deliveries import DeliveryRepository
from store.happenings import Happening, HappeningRepository, Standing
from store.idempotency import AnsweredBefore, IdempotencyRecord
from store.jobs import JobRepository
from store.records import Claim, Job, NewJob, Room, Stage, StagePlan, Track
from store.rooms import RoomRepository, Unfinished
from store.stages import FETCH, LeaseLost, StageRepository
from store.uploads import UploadRepository
from store.wal import FileSizes
from store.webhooks import WebhookRepository

__all__ = [
    "FETCH", "AccountRepository", "AnsweredBefore", "Claim", "ClockRepository", "CreditRepository",
    "Database", "DatabaseError", "DeliveryRepository", "Entry", "FileSizes", "Happening",
    "HappeningRepository", "IdempotencyRecord", "InsufficientCredits", "Job", "JobRepository",
    "LeaseLost", "NewJob", "Room", "RoomRepository", "Stage", "StagePlan", "StageRepository",
    "Standing", "Track", "Unfinished", "UploadRepository",
    "WebhookRepository",
]
