"""Holds a data directory against what its database promises. Changes nothing."""

import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from server.jobs.disk.folders import SECRET_BYTES, Folders
from server.jobs.disk.former import left_behind
from server.upkeep.backup import SECRETS
from server.upkeep.reporting import Meter, Report
from store import Track
from store.audit import Expected, Finding, KeptUpload
from store.restoring import Missing

CHUNK: Final = 1 << 20  # bytes


def check_files(data_dir: Path, expected: Expected, report: Report) -> list[Finding]:
    """Which files are missing, damaged, readable for others, or of nobody."""
    folders = Folders(data_dir)
    sizes = sum(track.size or 0 for _, track in expected.tracks)
    meter = Meter("files", sizes, report)
    return [
        *_check_secrets(data_dir),
        *(found for job_id, track in expected.tracks
          for found in _check_track(folders.outputs, job_id, track, meter.add)),
        *_check_inputs(folders, expected.inputs),
        *(found for upload in expected.uploads for found in _check_upload(folders, upload)),
        *_check_strays(folders, expected),
    ]  # fmt: skip


def missing_files(data_dir: Path, expected: Expected) -> Missing:
    """What the database counts on and is not there at all."""
    folders = Folders(data_dir)
    return Missing(
        [job for job in expected.inputs if not (folders.scratch / job / "input").is_file()],
        [(job, track.path) for job, track in expected.tracks
         if not (folders.outputs / job / track.path).is_file()],
        [upload.key for upload in expected.uploads
         if not (folders.uploads / _random(upload.key)).is_file()],
    )  # fmt: skip


def _check_secrets(data_dir: Path) -> Iterator[Finding]:
    for name in SECRETS:
        try:
            found = (data_dir / name).stat()
        except OSError:
            yield Finding("secrets_are_kept", name, "missing")
            continue
        if found.st_size != SECRET_BYTES:
            yield Finding("secrets_are_kept", name, f"{found.st_size} bytes, not {SECRET_BYTES}")
        if stat.S_IMODE(found.st_mode) & 0o077:
            yield Finding("secrets_are_kept", name, "others may read it")


def _check_track(
    outputs: Path, job_id: str, track: Track, progress: Callable[[int], None]
) -> Iterator[Finding]:
    subject = f"job {job_id}"
    try:
        size, crc = _sum_up(outputs / job_id / track.path, progress)
    except OSError as error:
        yield Finding("tracks_are_whole", subject, f"{track.path}: {error.strerror}")
        return
    if track.size is not None and size != track.size:
        detail = f"{track.path}: {size} bytes, {track.size} were written"
        yield Finding("tracks_are_whole", subject, detail)
    elif track.crc is not None and crc != track.crc:
        yield Finding("tracks_are_whole", subject, f"{track.path}: its bytes have changed")


def _check_inputs(folders: Folders, jobs: list[str]) -> Iterator[Finding]:
    for job_id in jobs:
        if not (folders.scratch / job_id / "input").is_file():
            yield Finding("unfinished_jobs_have_inputs", f"job {job_id}", "its source is missing")


def _check_upload(folders: Folders, upload: KeptUpload) -> Iterator[Finding]:
    try:
        size = (folders.uploads / _random(upload.key)).stat().st_size
    except OSError as error:
        yield Finding("uploads_are_kept", upload.key, str(error.strerror))
        return
    if size != upload.size:
        yield Finding("uploads_are_kept", upload.key, f"{size} bytes, {upload.size} came")


def _check_strays(folders: Folders, expected: Expected) -> Iterator[Finding]:
    """What lies there and belongs to nobody; what was left half-written among finished tracks."""
    keys = {_random(key) for key in expected.keys}
    places = (
        (folders.outputs, expected.live), (folders.scratch, expected.unfinished),
        (folders.uploads, keys),
    )  # fmt: skip
    for folder, owners in places:
        names: set[str] = set()
        with suppress(FileNotFoundError):
            names = set(os.listdir(folder))
        for name in sorted(names - owners):
            yield Finding("files_belong_to_somebody", f"{folder.name}/{name}", "of nobody")
    for job_id in sorted(expected.live - expected.unfinished):
        for part in sorted(folders.parts(job_id)):
            path = str(part.relative_to(folders.data_dir))
            yield Finding("files_belong_to_somebody", path, "half-written, and given up")
    for place in left_behind(folders.data_dir):
        yield Finding("files_belong_to_somebody", str(place), "of a former server.scratch_dir")


def _sum_up(path: Path, progress: Callable[[int], None]) -> tuple[int, int]:
    size = crc = 0
    with open(path, "rb") as file:
        while data := file.read(CHUNK):
            size, crc = size + len(data), zlib.crc32(data, crc)
            progress(len(data))
    return size, crc


def _random(key: str) -> str:
    return key.split("/")[2]
