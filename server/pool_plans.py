"""The pools of worker processes: how many there are, on which devices, and what is left to them."""

import os
from pathlib import Path

from msgspec import structs

from server.config import Config, cores
from server.engine.devices import devices
from server.jobs.disk.folders import Folders
from server.sound import FRAME_BYTES, SAMPLE_RATE
from server.work.confinement import CONFINED_CACHE, Rights
from server.work.pools import PoolPlan

PROBES = 2  # a file that keeps one of them busy delays nobody
SONG_BYTES = 3 * FRAME_BYTES * SAMPLE_RATE // 2  # of a song's second: half more than any file has
SPARE_BYTES = 64 << 20
OPEN_FILES = 512  # of one worker; each of its tasks has about ten


def pool_plans(config: Config) -> list[PoolPlan]:
    """The pools of a configuration. Probes and measures answer uploads: they wait for no song."""
    looking, working = audio_rights(config)
    return [
        PoolPlan("separation", "server.engine.worker:SeparationWorker",
                 devices(config.separation.device)),
        PoolPlan("audio", "server.audio.worker:AudioWorker", ("cpu",) * config.audio_workers,
                 working),
        PoolPlan("probe", "server.audio.looking:ProbeWorker", ("cpu",) * PROBES, looking),
        PoolPlan("measure", "server.audio.looking:MeasureWorker", ("cpu",) * (1 + cores() // 4),
                 looking),
    ]


def audio_rights(config: Config) -> tuple[Rights | None, Rights | None]:
    """What is left to processes that decode strangers' files: to those that only look, and to
    those that write jobs' files. The secret, the database and other programs are nothing to them.
    """
    if config.audio.confine == "off":
        return None, None
    folders = Folders(config.data_dir, config.scratch_dir)
    compiled = Path(os.environ.get("NUMBA_CACHE_DIR") or config.data_dir / "cache" / "numba")
    own = compiled.with_name(f"{compiled.name}{CONFINED_CACHE}")
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    looking = Rights(
        secret=config.data_dir, write=(),
        # A source that is fetched in the background comes straight to its job's scratch folder.
        read=(folders.spool, folders.uploads, folders.scratch, compiled),
        file_bytes=int(config.limits.max_audio_seconds * SONG_BYTES) + SPARE_BYTES,
        open_files=OPEN_FILES, must=config.audio.confine == "must",
    )  # fmt: skip
    fast = () if folders.fast is None else (folders.fast,)
    written = (folders.scratch, folders.outputs, own, *fast)
    return looking, structs.replace(looking, write=written)
