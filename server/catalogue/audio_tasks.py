"""The CPU side of a station: one task before the separation and one behind it, paths in and out.

Both run in worker processes of their own: a file that kills its reader kills nothing else. Ray
runs them again in another process, and they may: what they write is their attempt's alone, and
the commit happens once.
"""

import shutil
import time
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec
import numba

from server.audio.budget import within_cpu
from server.audio.stage_worker import limit_process
from server.audio.stages import STAGES
from server.catalogue import locations, storage
from server.catalogue.keys import commit_of, folder_of, result_key
from server.catalogue.orders import Failure, Order, Prepared, Separated, Unchanged
from server.catalogue.rows import Made, Output, Seconds
from server.engine.library import pins
from server.errors import FULL_FOR_ALL, AudioError, StemboxError
from server.sound import SAMPLE_RATE
from server.work.messages import Result
from server.work.steps import finish

P = ParamSpec("P")
T = TypeVar("T")


def told(work: Callable[Concatenate[Order, P], T]) -> Callable[Concatenate[Order, P], T | Failure]:
    """The same work, whose errors are told as its result: Ray would run it again for them."""

    @wraps(work)
    def run(order: Order, /, *arguments: P.args, **named: P.kwargs) -> T | Failure:
        try:
            return work(order, *arguments, **named)
        except (AudioError, storage.NoSuchObject) as error:
            return Failure("input", error.message)
        except storage.NoRoom as error:
            return Failure("station", error.message)
        except StemboxError as error:
            return Failure("internal", error.message)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL_FOR_ALL:
                return Failure("station", f"{order.folder}: {error.strerror}")
            return Failure("internal", f"{type(error).__name__}: {error}")

    return run


@told
def prepare(order: Order) -> Prepared | Unchanged | Failure:
    """Fetches a song and decodes it, unless its result is there."""
    folder = Path(order.folder)
    shutil.rmtree(folder, ignore_errors=True)  # of the same attempt in a process that died
    folder.mkdir(parents=True)
    began = time.monotonic()
    source = folder / "source"
    try:
        fetched = storage.fetch(order.location, source, order.known)
    except storage.NoSuchObject as error:
        path = not locations.scheme_of(order.location)  # another machine may have it
        return Failure("missing" if path else "input", error.message)
    if fetched is None:
        shutil.rmtree(folder)
        return Unchanged()
    key = result_key(fetched.sha256, order.recipe)
    found = Prepared(version=fetched.version, content_hash=fetched.sha256, key=key)
    if made := committed(order.output, key):
        shutil.rmtree(folder)
        return msgspec.structs.replace(found, made=made)
    decoding = time.monotonic()
    decoded = told(_stage)(order, "decode")
    if isinstance(decoded, Failure):
        return msgspec.structs.replace(decoded, version=fetched.version)
    source.unlink()
    return msgspec.structs.replace(
        found, duration=decoded.facts["frames"] / SAMPLE_RATE, fetch_s=decoding - began,
        decode_s=time.monotonic() - decoding,
    )  # fmt: skip


@told
def deliver(order: Order, prepared: Prepared, separated: Separated) -> Made:
    """Encodes the stems, stores them under the attempt's own keys, and commits the result.

    Nobody is told of these keys until the commit. Another attempt's that came first is the
    result, and nothing is left of this one.
    """
    began = time.monotonic()
    folder, recipe, outputs = Path(order.folder), order.recipe, []
    for stem in recipe.stems:
        file = _stage(order, f"encode/{stem}", peak=separated.peak).tracks[stem].path
        size, digest = (folder / file).stat().st_size, pins.digest(folder / file)
        path = f"{folder_of(prepared.key)}/{order.name}/{file}"
        outputs.append(Output(stem, path, size, digest))
    storing = time.monotonic()
    for output in outputs:
        name = output.path.rpartition("/")[2]
        storage.put_file(folder / name, locations.join(order.output, output.path))
    now = time.monotonic()
    made = Made(
        key=prepared.key, content_hash=prepared.content_hash,
        model_digest=recipe.digest, options=recipe.options, duration=prepared.duration,
        outputs=tuple(outputs),
        seconds=Seconds(prepared.fetch_s, prepared.decode_s, separated.seconds, storing - began,
                        now - storing),
    )  # fmt: skip
    made = commit(order.output, made)
    shutil.rmtree(folder, ignore_errors=True)
    return made


def committed(output: str, key: str) -> Made | None:
    """A result that is whole, None where there is none. Raises StorageError, also where what is
    there says nothing."""
    place = locations.join(output, commit_of(key))
    if (found := storage.read(place)) is None:
        return None
    try:
        return msgspec.json.decode(found, type=Made)
    except msgspec.MsgspecError:
        raise storage.StorageError(
            f"{place} is damaged: remove it, and the song is made again") from None


def commit(output: str, made: Made) -> Made:
    """Makes a result the one of its key, unless another is, and removes what else lies there;
    returns the one that counts. Raises StorageError."""
    place = locations.join(output, commit_of(made.key))
    if not storage.create(place, msgspec.json.encode(made)):
        made = committed(output, made.key) or made
    kept = {locations.join(output, one.path) for one in made.outputs} | {place}
    others = storage.under(locations.join(output, folder_of(made.key)))
    storage.delete([found.location for found in others if found.location not in kept])
    return made


def _stage(order: Order, /, stage: str, **facts: float) -> Result:
    _prepare_process(order.memory_mb)
    work = STAGES[stage.partition("/")[0]]
    return finish(within_cpu(work(order.task(stage, facts))))


@cache
def _prepare_process(memory_mb: int) -> None:
    numba.set_num_threads(1)
    limit_process(memory_mb)
