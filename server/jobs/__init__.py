"""What becomes of a job: accepting it, running its stages, cleaning up after it."""
