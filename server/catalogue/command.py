"""`stembox catalogue`: from its arguments to a run, and what people see of it."""

import argparse
import hashlib
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import ray
from msgspec import structs

from server.catalogue import locations, manifest, storage
from server.catalogue.driver import Driver, Job
from server.catalogue.flow import Flow
from server.catalogue.keys import Recipe
from server.catalogue.listing import Entry, Listing, read_listing
from server.catalogue.progress import Meter
from server.catalogue.recipes import recipe_of
from server.catalogue.separator import Post
from server.catalogue.shapes import Shape, stations
from server.catalogue.station import Station
from server.catalogue.stopping import stoppable
from server.config import Config, cores
from server.engine.library.choice import Choice
from server.errors import StemboxError

PASSED_ON: Final = (
    "NUMBA_CACHE_DIR", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS", "JOBLIB_MULTIPROCESSING",
)  # fmt: skip
OBJECT_STORE: Final = 100 << 20  # bytes: no audio goes through it
AHEAD: Final = 1  # songs that wait at a station, decoded, beside those in batch and with helpers
LINE_SECONDS: Final = 10.0  # between two lines where no terminal shows the last one only


def run(
    arguments: argparse.Namespace, config: Config, stems: tuple[str, ...],
    found: Choice | None = None,
) -> int:  # fmt: skip
    """Runs the command: makes `stems` of every song, by the model `found` or else the quality's.

    Returns 0 if every song has its stems, 1 if some have failed.
    """
    output = locations.resolve(arguments.out, os.getcwd())
    listing = read_listing(arguments.input, arguments.column, output)
    recipe = recipe_of(config, arguments.quality, stems, arguments.format, found)
    songs = Songs(listing, output, recipe)
    songs.correct(listing)
    meter = Meter(len(listing.entries), len(listing.entries) - len(songs.entries),
                  time.monotonic())  # fmt: skip
    if songs.entries:
        storage.check(output)
        with (storage.marked(output) as mark, cluster(arguments.address),
              stoppable() as check):  # fmt: skip
            separate(arguments, config, songs, mark, meter, check)
    else:
        manifest.complete(output)
    print(f"{meter.line(time.monotonic())} · "
          f"{locations.join(output, manifest.WHOLE)}", file=sys.stderr)
    return 1 if meter.failed else 0


class Songs:
    """What of a listing is left to do, and what the manifest knows of that."""

    def __init__(self, listing: Listing, output: str, recipe: Recipe) -> None:
        known = manifest.known(output)
        self.output, self.recipe, self.others = output, recipe, listing.others
        self.entries: list[Entry] = []
        self.known: dict[int, str] = {}
        for entry in listing.entries:
            song = (entry.input, entry.occurrence, recipe.digest, recipe.options)
            before = known.get(song)
            if before is not None and before.key is not None:
                if before.version == entry.version:
                    continue
                self.known[len(self.entries)] = before.version
            self.entries.append(entry)

    def correct(self, listing: Listing) -> None:
        """Has the manifest's rows say what the listing's other columns say now: songs that are not
        read again get no rows. Raises StorageError."""
        recipe = self.recipe
        if self.others.names:
            manifest.Parts(self.output, self.others).correct({
                (entry.input, entry.occurrence, recipe.digest, recipe.options): entry.others
                for entry in listing.entries
            })  # fmt: skip


def separate(
    arguments: argparse.Namespace, config: Config, songs: Songs, mark: str, meter: Meter,
    check: Callable[[], None],
) -> None:  # fmt: skip
    """Runs `songs` on the cluster that this process is connected to. `mark` is in their output,
    `check` raises where the run is to stop.

    Raises:
        StemboxError: as `Driver.run`, or the cluster has no room for a station.
    """
    device = config.separation.device
    shapes = stations(ray.nodes(), device, arguments.stations)
    on_card = "cuda" if shapes[0].gpus else "cpu"
    batch = config.separation.batch_on(on_card)
    depth = arguments.songs or batch + shapes[0].helpers + AHEAD
    flow = Flow(songs.entries, depth)
    job = Job(songs.output, songs.recipe, songs.known, config.limits.max_audio_seconds,
              config.audio.memory_mb)  # fmt: skip
    parts = manifest.Parts(songs.output, songs.others)
    folder = scratch_folder(arguments.scratch, songs.output)
    posts = [post(config, songs.recipe, shape, f"{folder}/{number}", mark)
             for number, shape in enumerate(shapes)]  # fmt: skip
    placed = [Station(number, *of) for number, of in enumerate(zip(shapes, posts, strict=True))]
    driver = Driver(job, flow, placed, parts, meter)
    print(f"model {songs.recipe.model} on {len(placed)} station(s), {depth} songs each",
          file=sys.stderr)
    with closing(driver):
        try:
            with shown(meter) as report:

                def look_up() -> None:
                    check()
                    report()

                driver.run(look_up)
        finally:
            parts.flush()
            manifest.complete(songs.output)


def post(config: Config, recipe: Recipe, shape: Shape, folder: str, mark: str) -> Post:
    """What a station of this shape is told."""
    setting = config.separation.threads
    threads = 0 if shape.gpus else shape.threads if setting == "auto" else setting
    absolute = structs.replace(config.server, data_dir=str(config.data_dir))
    return Post(structs.replace(config, server=absolute), recipe.model, recipe.digest, recipe.runs,
                threads, folder, mark)  # fmt: skip


def scratch_folder(wanted: str | None, output: str) -> str:
    """A run's folder on every machine: the same in the next run, which clears what is left."""
    name = hashlib.sha256(output.encode()).hexdigest()[:12]
    return f"{os.path.abspath(wanted or tempfile.gettempdir())}/stembox-catalogue-{name}"


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """A connection to a Ray cluster; with no address, to one that is this machine for as long.

    Raises StemboxError: there is no such cluster.
    """
    if address:
        check_address(address)
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    options: dict[str, Any] = {} if address else {
        "num_cpus": cores(), "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    try:
        ray.init(address=address or "local", runtime_env={"env_vars": passed},
                 log_to_driver=False, logging_level=logging.ERROR, **options)  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StemboxError(f"Ray cannot be reached at {address}: {reason}") from None
    try:
        yield
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Ray itself would wait for minutes. Raises StemboxError: nobody answers at `host:port`."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        return  # "auto", which Ray knows where to look for
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        reason = error.strerror or error
        raise StemboxError(f"Ray cannot be reached at {address}: {reason}") from None


@contextmanager
def shown(meter: Meter) -> Iterator[Any]:
    """Shows the meter on standard error: one line that changes on a terminal, else now and then."""
    terminal, due = sys.stderr.isatty(), 0.0

    def report() -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + (1.0 if terminal else LINE_SECONDS)
            line = meter.line(now)
            print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n",
                  file=sys.stderr, flush=True)

    try:
        yield report
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr)
