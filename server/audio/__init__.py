"""The CPU side of a song: decoding, harmonic/percussive separation, loudness, writing of tracks.

`sources` reads strangers' files, `writing` writes tracks, `finished` opens any part of these again,
and `rendering` makes mixes of them; `worker` runs the stages of all.

Runs inside audio worker processes, on one thread, in steps (`server/work/steps.py`). It knows files
and numbers; it must not know the database, the jobs, HTTP or the pool that calls it.
"""
