"""Telling others of a job's end: registered endpoints, what is signed, and what was sent."""
