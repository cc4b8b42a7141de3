"""Jobs and what belongs to them, kept in SQLite. Knows no HTTP, no audio and no server.

The database is the only truth: a process may die at any instruction and nothing that was
answered to a client is lost.
"""

from store.connection import Database, DatabaseError
from store.jobs import Job, JobRepository, LeaseLost, Stage, StagePlan

__all__ = [
    "Database", "DatabaseError", "Job", "JobRepository", "LeaseLost", "Stage", "StagePlan",
]
