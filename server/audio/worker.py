"""The audio workers: all that is done to a song on a CPU, beside its separation."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numba

import kernels
from server.audio.compiling import compiling
from server.audio.rendering.stages import RENDERING
from server.audio.stage_worker import Stage, StageWorker
from server.audio.stages import STAGES
from server.work.confinement import CONFINED_CACHE


class AudioWorker(StageWorker):
    """Runs the audio pool's stages, and the parts that are rendered for listening."""

    pool: ClassVar[str] = "audio"
    stages: ClassVar[Mapping[str, Stage]] = {**STAGES, **RENDERING}
    slots: ClassVar[int] = 8  # one runs; the others lie still, each for a more urgent one

    def warm_up(self) -> None:
        """Has everything compiled, on one thread."""
        numba.set_num_threads(1)
        with compiling():
            kernels.warm_up()
        settings: Any = numba.config
        if settings.CACHE_DIR:
            settings.CACHE_DIR += CONFINED_CACHE  # of all that is imported later
