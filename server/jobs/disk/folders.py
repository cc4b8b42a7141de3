"""What lies where below the data directory, and beside it."""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from server.errors import ConfigError, DiskFull
from server.work.durable import sync_folder, sync_names
from server.work.scratch import PART, whole_of

SECRET_BYTES = 32
IN_USE = "is in use by another stembox: a server, or a command that is under way"
CANNOT_LOCK = "cannot be locked, so that nobody else uses it"  # on some network file systems
PEAKS_FOLDER = "peaks"  # below a job's outputs: a file for each finished track, and the mix
RENDERS_FOLDER = "mixes"  # below them, too: what is rendered when somebody asks, at any time
RESTORING = ".restoring"  # below a data directory that is only half restored
SOCKET_PATH_MAX = 100  # the kernel's limit for a unix socket's path is 108


class Folders:
    """spool: what is on its way in · uploads: signed uploads that are here · scratch: running
    jobs · outputs: finished tracks.

    All are on one file system, so a folder moves from spool to scratch by a rename. But for
    `fast`, where float32 files may lie that need not outlive a power cut: a folder of this data
    directory's own below `scratch_dir`, or None.
    """

    def __init__(self, data_dir: Path, scratch_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self.spool = data_dir / "spool"
        self.uploads = data_dir / "uploads"
        self.scratch = data_dir / "scratch"
        self.outputs = data_dir / "outputs"
        self.private = self.fast = None
        if scratch_dir is not None:
            self.private = scratch_dir / private_name(data_dir)
            self.fast, self._fast_id = self.private / "jobs", self.private / "id"

    def check(self) -> None:
        """Raises ConfigError: a restore into this data directory runs, or was cut off."""
        if (self.data_dir / RESTORING).exists():
            if in_use(self.data_dir):
                raise ConfigError(f"a restore into {self.data_dir} is under way")
            raise ConfigError(f"a restore into {self.data_dir} was cut off: give it again")

    def create(self) -> None:
        """Makes what is missing, for this user alone. Raises as `check`."""
        self.check()
        for folder in (self.data_dir, self.spool, self.uploads, self.scratch, self.outputs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_names(self.spool)  # and with it those of the others
        if self.private is not None and self.fast is not None:
            make_private(self.private)
            for name in set(os.listdir(self.private)) - {self.fast.name, self._fast_id.name}:
                self.remove(self.private, name)  # of an older stembox, or half-written
            self.fast.mkdir(mode=0o700, exist_ok=True)
            _write_once(self._fast_id, secrets.token_hex().encode())

    @property
    def places(self) -> dict[str, Path]:
        """What may fill up, by what it is for."""
        return {"data": self.data_dir} | ({"scratch": self.fast} if self.fast is not None else {})

    @property
    def owned(self) -> list[Path]:
        """Where all that lies is of a job or an upload that the database knows."""
        return [self.uploads, self.scratch, self.outputs]

    @property
    def swept(self) -> list[Path]:
        """Where files that the server does not know are removed."""
        private = [] if self.private is None else [self.private]
        return [self.spool, self.uploads, self.scratch, self.outputs, *private]

    @property
    def fast_name(self) -> str:
        """Names what is in the faster place: another one where its files are gone."""
        return "" if self.fast is None else f"{self.fast} {self._fast_id.read_text()}"

    def accept(self, job_id: str) -> None:
        """Makes a complete upload the job's own; synced, so it outlives a power cut."""
        os.rename(self.spool / job_id, self.scratch / job_id)
        (self.outputs / job_id).mkdir(mode=0o700, exist_ok=True)
        for folder in (self.scratch / job_id, self.scratch, self.outputs):
            sync_folder(folder)

    def remove(self, folder: Path, name: str) -> None:
        """Removes a job's folder, or a file, below one of these; what is gone already is fine."""
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def empty(self, folder: Path) -> None:
        """Removes what lies in a folder."""
        for name in os.listdir(folder):
            self.remove(folder, name)

    def parts(self, job_id: str) -> list[Path]:
        """What attempts at its stages have half-written among a job's outputs. Renders come and
        go: their parts are their own."""
        renders = self.outputs / job_id / RENDERS_FOLDER
        files = files_below(self.outputs / job_id)
        return [file for file in files if file.suffix == PART and file.parent != renders]

    def remove_parts(self, job_id: str) -> None:
        """Removes what attempts that died have left half-written among a job's outputs."""
        for part in self.parts(job_id):
            part.unlink(missing_ok=True)

    def leftovers(self, folder: Path) -> set[str]:
        """Names of what lies below a folder."""
        return set(os.listdir(folder))


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder. It, or folders in it, may be removed meanwhile: `rglob` raises."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def written(files: Iterable[Path]) -> int:
    """Bytes of the work that lies in files: of a file and its parts only the longest counts, since
    the others are of attempts that died."""
    sizes: dict[Path, int] = {}
    for file in files:
        with suppress(OSError):  # gone at this very moment
            if file.is_file():
                whole = whole_of(file)
                sizes[whole] = max(sizes.get(whole, 0), file.stat().st_size)
    return sum(sizes.values())


def in_use(data_dir: Path) -> bool:
    """Whether a server, or a command, holds a data directory's lock at this moment."""
    try:
        with open(data_dir / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def free_percent(folder: Path) -> float:
    """Share of a folder's disk that is free."""
    usage = shutil.disk_usage(folder)
    return 100 * usage.free / usage.total


@contextmanager
def full_disk_is_said() -> Iterator[None]:
    """Raises DiskFull where the system says that there is no room."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("The server's disk is full") from error
        raise


def server_secret(data_dir: Path) -> bytes:
    """The 32 random bytes that this server signs with, made at the first start."""
    path = data_dir / "secret"
    _write_once(path, secrets.token_bytes(SECRET_BYTES))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)  # whoever copied it here has made others able to read it
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """Raises ConfigError: it is damaged."""
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"{path} is damaged: {SECRET_BYTES} bytes were expected")
    return secret


def _write_once(path: Path, data: bytes) -> None:
    """Makes a file that only this user reads, unless it is there."""
    if not path.exists():
        write_anew(path, data)


def write_anew(path: Path, data: bytes) -> None:
    """Gives a file, which only this user reads, this content; synced."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}{PART}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW  # nobody's but ours
    with open(os.open(part, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def socket_path(data_dir: Path, name: str) -> Path:
    """Where a socket lies: in the data directory, or nearby when its path is too long."""
    path = data_dir / name
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    folder = Path(tempfile.gettempdir()) / private_name(data_dir)
    make_private(folder)
    return folder / name


def make_private(folder: Path) -> None:
    """A folder that only this user may enter, below one that others may write to.

    Its name can be guessed: what somebody else has put there, or may put into it, is not used.

    Raises ConfigError.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found, above = os.lstat(folder), os.stat(folder.parent)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to someone else")
    if found.st_mode & 0o077:
        raise ConfigError(f"{folder} is open to others: remove it, or close it (chmod 700)")
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise ConfigError(f"{folder.parent} lets everybody replace what lies in it (chmod +t)")


def private_name(data_dir: Path) -> str:
    """What a data directory's own folder is called in a place that it shares with others."""
    return f"stembox-{os.getuid()}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
