"""Writes requirements.lock (to run) and requirements-dev.lock (what tests add) from this venv.

Only what stembox's own requirements reach is written; a local build's suffix ("+cpu") is
dropped, so that the same lock takes the CUDA build where the index offers it.
"""

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BUILD = {"setuptools", "wheel"}  # `pip install --no-build-isolation` needs them
GPU_ONLY = ("nvidia-", "triton", "cuda-")  # torch's own pins choose these, where it has them


def closure(root: str, extras: set[str]) -> dict[str, str]:
    """Name and version of everything that `root[extras]` needs, itself left out."""
    found: dict[str, str] = {}
    todo = [(root, extras)]
    seen = set()
    while todo:
        name, wanted = todo.pop()
        if (name, frozenset(wanted)) in seen:
            continue
        seen.add((name, frozenset(wanted)))
        for line in metadata.requires(name) or []:
            need = Requirement(line)
            if need.marker and not any(
                need.marker.evaluate({"extra": extra}) for extra in wanted | {""}
            ):
                continue
            child = canonicalize_name(need.name)
            if child.startswith(GPU_ONLY):
                continue
            if child != root:
                found[child] = metadata.version(child).split("+")[0]
            todo.append((child, set(need.extras)))
    return found


def main() -> None:
    run = closure("stembox", set()) | {name: metadata.version(name) for name in BUILD}
    dev = closure("stembox", {"dev"})
    folder = Path(__file__).resolve().parent.parent
    for file, packages in (
        ("requirements.lock", run),
        ("requirements-dev.lock", {k: v for k, v in dev.items() if k not in run}),
    ):
        lines = [f"{name}=={version}" for name, version in sorted(packages.items())]
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{file}: {len(lines)} packages")


if __name__ == "__main__":
    main()
