"""What somebody gets who installs the wheel: the command works in any folder, beside any package.

STEMBOX_INSTALLED names a `stembox` of an environment that holds the wheel and what the index gave
it (`.ci/run` makes one). Otherwise the wheel goes into a new environment that borrows the packages
of this one.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from server.config import defaults_file
from tests.e2e.conftest import write_song
from tests.harness import Server, serving

CHECKOUT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `stembox` command of an installation."""
    if "STEMBOX_INSTALLED" in os.environ:
        return Path(os.environ["STEMBOX_INSTALLED"])
    folder = tmp_path_factory.mktemp("installation")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder,
        copy_of_sources(folder / "sources"))
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    run(*pip, "--python", folder / "venv/bin/python", "install", "--quiet", "--no-deps",
        next(folder.glob("*.whl")))
    return folder / "venv/bin/stembox"


def copy_of_sources(target: Path) -> Path:
    """What a build needs; setuptools leaves its own files beside it."""
    files = run("git", "-C", CHECKOUT, "ls-files", "--cached", "--others", "--exclude-standard")
    for name in files.stdout.splitlines():
        if name.startswith("tests/") or not (CHECKOUT / name).exists():
            continue
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if (CHECKOUT / name).is_symlink():
            path.symlink_to(os.readlink(CHECKOUT / name))
        else:
            path.hardlink_to(CHECKOUT / name)
    return target


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], text=True, capture_output=True, check=False, **options,
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Nothing of the checkout on the path; the kernels are compiled once for all tests here."""
    cache = tmp_path_factory.mktemp("cache")
    return os.environ | {"PYTHONPATH": "", "NUMBA_CACHE_DIR": str(cache)}


@pytest.fixture
def elsewhere(installed: Path, environ: dict[str, str], tmp_path: Path) -> Run:
    """Runs the installed command in a folder that holds nothing of stembox."""

    def elsewhere(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run(installed, *arguments, cwd=tmp_path, env=environ, timeout=240)

    return elsewhere


def test_the_settings_are_one_file() -> None:
    assert defaults_file().resolve() == CHECKOUT / "config.toml"


def test_separate(elsewhere: Run, tmp_path: Path) -> None:
    write_song(tmp_path / "song.wav", 3)
    done = elsewhere("separate", "song.wav", "--out", "stems", "--output-type", "BOTH")
    assert done.stdout.split() == ["stems/song/vocals.wav", "stems/song/instrumental.wav"]
    assert all((tmp_path / path).stat().st_size > 500_000 for path in done.stdout.split())


def test_demo(elsewhere: Run, tmp_path: Path) -> None:
    done = elsewhere("demo", "--seconds", "3")
    assert "composite/main_percussive.wav" in done.stdout
    assert len(list((tmp_path / "demo").rglob("*.wav"))) == 10


def test_models_and_keys(elsewhere: Run) -> None:
    assert "starter" in elsewhere("models", "list").stdout
    assert elsewhere("keys", "create", "--account", "ann").stdout.startswith("sk_live_")


@pytest.mark.parametrize("packages", [
    {}, {"mcp": ""}, {"mcp": "", "fastmcp": "raise ImportError('does not fit')"},
], ids=["alone", "mcp", "mcp and an unfit fastmcp"])  # fmt: skip
def test_serve(
    installed: Path, environ: dict[str, str], tmp_path: Path, packages: dict[str, str]
) -> None:
    """LitServe starts an MCP server of its own wherever it finds a package of that name."""
    beside = tmp_path / "packages"
    for name, content in packages.items():
        (beside / name).mkdir(parents=True)
        (beside / name / "__init__.py").write_text(content)
    data = tmp_path / "data"
    with serving(data, stembox=(installed,), cwd=tmp_path,
                 environ=environ | {"PYTHONPATH": str(beside)}) as server:
        song = write_song(tmp_path / "song.wav", 3)
        job = server.end_of(server.post(song).json()["job_id"])
        assert (job["status"], len(job["outputs"])) == ("completed", 9)
        server.terminate()
        assert server.process.returncode == 0


def test_the_first_error_of_a_start_is_told(tmp_path: Path) -> None:
    """The shutdown that follows must not hide it behind one of its own."""
    broken = "import server.work.pools as p\n" \
        "def fail(*_, **__): raise RuntimeError('the first error')\n" \
        "p.litserve.LitServer._start_server = fail\n" \
        "from server.cli import main\n" \
        "main(['serve', '--port', '{}', '--data-dir', '{}'])"
    server = Server(tmp_path / "data")
    done = subprocess.run(
        [sys.executable, "-c", broken.format(server.port, server.data)],
        text=True, capture_output=True, timeout=120, check=False, cwd=CHECKOUT,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.rstrip().endswith("RuntimeError: the first error"), done.stderr
