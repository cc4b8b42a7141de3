"""A worker in the hands of a stranger's file: what it tries, and what it still has to be able to.

Each test is a process of its own: what is taken from one is never given back.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from server.work import landlock, seccomp

ROOT = Path(__file__).parents[2]
BEGINNING = """
import ctypes, os, resource, signal, socket, sys, threading
from pathlib import Path
from server.work.confinement import Rights, confine

data = Path(sys.argv[1])
rights = Rights(secret=data, read=(data / "spool",), write=(data / "scratch",),
                file_bytes=1 << 20, open_files=64, must=sys.argv[2:] == ["must"])
told = confine(rights)
LIBC = ctypes.CDLL(None, use_errno=True)

def refused(*call):
    function, *arguments = call
    try:
        function(*arguments)
    except OSError as error:
        assert error.errno in (1, 13, 18), error  # EPERM, EACCES, EXDEV
        return
    raise AssertionError(f"allowed: {call}")

def system(number, *arguments):
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
"""
needs_landlock = pytest.mark.skipif(not landlock.version(), reason="the kernel has no Landlock")
needs_seccomp = pytest.mark.skipif(not seccomp.known(), reason="no filter for this machine")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with something to steal."""
    data = tmp_path / "data"
    for name in ("spool", "scratch", "outputs"):
        (data / name).mkdir(parents=True)
    (data / "secret").write_text("secret")
    (data / "stembox.db").write_text("database")
    (data / "spool" / "input").write_text("song")
    return data


def confined(data: Path, script: str, *arguments: str) -> str:
    """What a confined process prints, which must end well."""
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + textwrap.dedent(script), str(data), *arguments],
        cwd=data.parent, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@needs_landlock
@needs_seccomp
def test_all_of_it_is_done_here(data: Path) -> None:
    out = confined(data, "print(*told.done, *told.lacking, sep=', ')", "must")
    assert out == "limits, privileges, files, network, processes\n"


@needs_landlock
def test_other_files_cannot_be_read_written_or_reached(data: Path) -> None:
    confined(data, """
        for path in (data / "secret", data / "stembox.db", "/etc/passwd", "/proc/1/environ"):
            refused(open, path)
        for folder in (data, data / "outputs", Path.home(), "/tmp", "/etc"):
            refused(os.listdir, folder)
            refused(os.mkdir, Path(folder, "new"))
        for path in (data / "secret", data / "new", data / "spool" / "input", "/tmp/new"):
            refused(open, path, "w")
            refused(os.truncate, path, 0) if Path(path).exists() else None
        refused(os.unlink, data / "secret")
        refused(os.unlink, data / "spool" / "input")
        work = data / "scratch"
        refused(os.rename, data / "secret", work / "mine")
        refused(os.link, data / "secret", work / "mine")
        refused(os.link, data / "spool" / "input", data / "outputs" / "mine")
        refused(os.symlink, data / "secret", work / "mine")
        refused(os.mkfifo, work / "pipe")
        """)
    assert (data / "secret").read_text() == "secret"
    assert (data / "spool" / "input").read_text() == "song"


@needs_landlock
@needs_seccomp
def test_nobody_is_let_in_to_files_either(data: Path) -> None:
    """Landlock says nothing of a file's mode and owner."""
    before = (data / "secret").stat()
    confined(data, """
        own = open(data / "scratch" / "own", "wb")
        for path in (data / "secret", data / "stembox.db", data / "scratch" / "own"):
            refused(os.chmod, path, 0o666)
            refused(os.chown, path, 1, 1)
            refused(os.lchown, path, 1, 1)
            refused(os.truncate, path, 0)
        refused(os.fchmod, own.fileno(), 0o666)
        refused(os.fchown, own.fileno(), 1, 1)
        refused(system, 452, -100, bytes(data / "secret"), 0o666, 0)
        # an access list is an extended attribute, and lets others in as a mode does
        for path in (data / "secret", data, own.fileno()):
            refused(os.setxattr, path, "user.mine", b"1")
            refused(os.removexattr, path, "user.mine")
            refused(os.utime, path)
        refused(lambda: os.setxattr(data, "user.mine", b"1", follow_symlinks=False))
        refused(lambda: os.removexattr(data, "user.mine", follow_symlinks=False))
        own.truncate(5)  # what is open for writing is ours
        """)
    after = (data / "secret").stat()
    assert (before.st_mode, before.st_uid, before.st_size) == (
        after.st_mode, after.st_uid, after.st_size)


@needs_seccomp
def test_nobody_is_starved(data: Path) -> None:
    """The server has the same user: its processes could be put on one core, behind all others."""
    confined(data, """
        for process in (os.getppid(), os.getpid(), 0):
            refused(os.setpriority, os.PRIO_PROCESS, process, 15)
            refused(os.sched_setaffinity, process, {min(os.sched_getaffinity(0))})
            refused(os.sched_setscheduler, process, os.SCHED_IDLE, os.sched_param(0))
            refused(os.sched_setparam, process, os.sched_param(0))
        """)


@needs_seccomp
@pytest.mark.parametrize("kind", ["a file's", "no file's"])
def test_other_processes_sockets_cannot_be_reached(data: Path, kind: str) -> None:
    """This server's own for another worker, a desktop's, a container engine's: what is there is
    used on, and nothing else. Landlock does not look at who is called."""
    import socket

    name = f"\0stembox-test-{os.getpid()}" if kind == "no file's" else str(data / "scratch" / "s")
    own = BEGINNING.replace("told = confine", f"""
name = {name!r}
own = socket.socket(socket.AF_UNIX)
own.connect(name)
others = [socket.socket(socket.AF_UNIX, how) for how in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
told = confine""")
    own += """
own.sendall(b"on")
assert own.recv(2) == b"on"
for other in others:
    refused(other.connect, name)
    refused(other.bind, str(data / "scratch" / "mine"))
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    refused(socket.socket, socket.AF_UNIX, kind)
    refused(socket.socketpair, socket.AF_UNIX, kind)
"""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        process = subprocess.Popen([sys.executable, "-c", own, str(data)], cwd=ROOT,
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        peer, _ = listener.accept()
        peer.sendall(peer.recv(2))
        assert process.wait(60) == 0, process.communicate()[1]
        peer.close()


@needs_seccomp
def test_no_key_is_pressed_on_a_terminal(data: Path) -> None:
    """Whose output a worker's lines go to: what is typed there runs with a person's rights."""
    own = BEGINNING.replace("told = confine", """
import fcntl, pty, termios
leader, terminal = pty.openpty()
told = confine""")
    own += """
for ask in (termios.TIOCSTI, 0x541C):
    refused(fcntl.ioctl, terminal, ask, b"x")
assert len(fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))) == 8
"""
    subprocess.run([sys.executable, "-c", own, str(data)], cwd=ROOT, check=True)


@needs_landlock
def test_a_link_leads_nowhere(data: Path) -> None:
    (data / "scratch" / "link").symlink_to(data / "secret")
    confined(data, """
        refused(open, data / "scratch" / "link")
        refused(open, data / "spool" / ".." / "secret")
        """)


def test_the_work_itself_is_not_hindered(data: Path) -> None:
    """Files of jobs, threads, modules that are imported late, time zones, random numbers."""
    confined(data, """
        assert (data / "spool" / "input").read_text() == "song"
        job = data / "scratch" / "job"
        job.mkdir()
        (job / "a.part").write_bytes(b"x" * 1000)
        os.replace(job / "a.part", job / "a")
        (data / "scratch" / "other").mkdir()
        os.replace(job / "a", data / "scratch" / "other" / "a")
        with open(data / "scratch" / "other" / "a", "r+b") as file:
            file.truncate(10)
            os.fsync(file.fileno())
        thread = threading.Thread(target=os.urandom, args=[8])
        thread.start(); thread.join()
        import sqlite3, decimal, time, concurrent.futures
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            assert list(pool.map(len, ["a", "bc"])) == [1, 2]
        time.tzset()
        open("/dev/null").close()
        """)


@needs_seccomp
def test_no_network(data: Path) -> None:
    confined(data, """
        for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_PACKET,
                       socket.AF_NETLINK, socket.AF_VSOCK):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                refused(socket.socket, family, kind)
        refused(system, 425, 1, None)  # io_uring makes sockets, too
        """)


@needs_seccomp
def test_no_other_programs_and_no_harm_to_other_processes(data: Path) -> None:
    confined(data, """
        refused(os.execv, "/bin/true", ["true"])
        refused(os.fork)
        refused(os.posix_spawn, "/bin/true", ["true"], {})
        for pid in (os.getppid(), 1, -1, 0):
            refused(os.kill, pid, 0)
        refused(signal.pidfd_send_signal, 0, 0)
        refused(os.pidfd_open, os.getppid())
        refused(resource.prlimit, os.getppid(), resource.RLIMIT_CPU, (1, 1))
        refused(open, f"/proc/{os.getppid()}/mem", "rb")
        refused(open, f"/proc/{os.getppid()}/environ", "rb")
        os.kill(os.getpid(), 0)  # itself it may: the C library aborts so
        assert resource.getrlimit(resource.RLIMIT_CPU)
        refused(os.unshare, 0) if hasattr(os, "unshare") else None
        """)


@needs_seccomp
def test_it_holds_for_threads_that_ran_before(data: Path) -> None:
    """Landlock would not hold for them, and says so."""
    script = BEGINNING.replace("told = confine", """
go, tries = threading.Event(), []
def later():
    go.wait()
    try:
        socket.socket(socket.AF_INET)
    except OSError as error:
        tries.append(error.errno)
thread = threading.Thread(target=later)
thread.start()
told = confine""")
    script += "go.set(); thread.join(); print(tries, told.lacking)"
    done = subprocess.run([sys.executable, "-c", script, str(data)], capture_output=True,
                          text=True, cwd=ROOT, timeout=60, check=True)  # fmt: skip
    assert done.stdout.startswith("[1]")
    assert not landlock.version() or "1 threads run already" in done.stdout


def test_limits(data: Path) -> None:
    confined(data, """
        big = open(data / "scratch" / "big", "wb")
        big.write(b"x" * (1 << 20)); big.flush()
        try:
            big.write(b"x"); big.flush()
        except OSError as error:
            assert error.errno == 27
            big = None
        else:
            raise AssertionError("larger than it may be")
        held = []
        try:
            while len(held) < 100:
                held.append(open("/dev/null"))
        except OSError as error:
            assert error.errno == 24
        assert len(held) < 64
        held.clear()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (64, 64)
        """)


def test_a_data_directory_among_the_systems_files_stays_closed(data: Path) -> None:
    """The data may lie in the folder that Python was started in, or below its own."""
    out = confined(data, """
        import sys
        from server.work import confinement
        print("" in sys.path, Path.cwd().resolve() in confinement._own_files())
        """)
    assert out == "True False\n"
    if landlock.version():
        prefix = "sys.prefix = str(data.parent)"  # a virtual environment with the data in it
        hidden = BEGINNING.replace("told = confine", f"{prefix}\ntold = confine")
        hidden += 'refused(open, data / "secret")'
        subprocess.run([sys.executable, "-c", hidden, str(data)], cwd=ROOT, timeout=60, check=True)
        hidden = BEGINNING.replace("told = confine", f"{prefix}\ntold = confine")
        hidden = hidden.replace("secret=data,", "secret=data / 'lib' / 'x',")
        hidden = hidden.replace(prefix, "sys.prefix = str(data)") + "print(told.lacking['files'])"
        run = [sys.executable, "-c", hidden, str(data)]
        out = subprocess.check_output(run, cwd=ROOT, text=True, timeout=60)
        assert "which has to be read" in out, "not confined, rather than unable to work"


@pytest.mark.parametrize("missing", ["files", "network"])
def test_what_the_kernel_lacks_is_said(
    data: Path, missing: str
) -> None:
    patch = {"files": "landlock.version = lambda: 0", "network": "seccomp.known = lambda: False"}
    older = f"from server.work import landlock, seccomp\n{patch[missing]}"
    lacking = BEGINNING.replace("told = confine", f"{older}\ntold = confine")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = lacking + "print(sorted(told.lacking))"
        return subprocess.run([sys.executable, "-c", script, str(data), *arguments], cwd=ROOT,
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip

    wanted = {"files": ["files"], "network": ["network", "processes"]}[missing]
    assert run().stdout.strip() == str(wanted)
    strict = run("must")
    assert strict.returncode == 1 and "audio.confine = must" in strict.stderr
