"""The CPU side of a song: decoding, harmonic/percussive separation, loudness, WAV writing.

Runs inside audio worker processes, one task at a time, on one thread. It knows files and
numbers; it must not know the database, the jobs, HTTP or the pool that calls it.
"""

from collections.abc import Callable

Report = Callable[[float], None]
"""Is told the share of the work that is done, 0 to 1; raises Cancelled to give the work up."""
