"""The CPU side of a song: decoding, harmonic/percussive separation, loudness, WAV writing.

Runs inside audio worker processes, on one thread, in steps (`server/work/steps.py`). It knows files
and numbers; it must not know the database, the jobs, HTTP or the pool that calls it.
"""
