"""Settings: packaged defaults, then a file, the environment and flags, as one frozen Struct."""

from server.config.machine import cores
from server.config.reading import defaults_file, forget_secrets, load
from server.config.sections import (
    CPU_BATCH,
    GPU_BATCH,
    SPIN_COUNT,
    Config,
    Jobs,
    Log,
    Metrics,
    PrecisionSetting,
    Quality,
    path_of,
)

__all__ = [
    "CPU_BATCH",
    "GPU_BATCH",
    "SPIN_COUNT",
    "Config",
    "Jobs",
    "Log",
    "Metrics",
    "PrecisionSetting",
    "Quality",
    "cores",
    "defaults_file",
    "forget_secrets",
    "load",
    "path_of",
]
