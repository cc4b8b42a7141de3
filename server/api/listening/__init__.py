"""Hearing a job before it has ended: windows, peaks, mixes and events, the same for both APIs."""
