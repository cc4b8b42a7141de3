"""Hearing what a job makes, while it is made and afterwards: windows, peaks, mixes."""
