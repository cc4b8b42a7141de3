"""The files for Prometheus and Grafana, and Prometheus's own tools to check them with."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).resolve().parent.parent.parent / ".deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "stembox.json"
METRIC = re.compile(r"\b(?:stembox_[a-z_]+|process_[a-z_]+)\b")
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def tool(name: str) -> str:
    """A program of Debian's `prometheus` package. Where people have none, the test is skipped."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("STEMBOX_MONITORING_TESTS") == "must":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"needs {name}: apt-get install prometheus")
    return found


def promtool(*arguments: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs promtool in the folder of the rules."""
    command = [tool("promtool"), *map(str, arguments)]
    return subprocess.run(command, cwd=PROMETHEUS, input=text, text=True, capture_output=True,
                          check=False)  # fmt: skip


def panels() -> Iterator[dict[str, Any]]:
    """Every panel of the dashboard but its headings."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def queries() -> list[str]:
    """Every query of the dashboard, its variables filled in as Grafana would."""
    filled = {"$__rate_interval": "1m", "$instance": ".*"}
    found = []
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in filled.items():
                query = query.replace(name, value)
            found.append(query)
    return found


def named_in(text: str) -> set[str]:
    """The metrics that PromQL names, a histogram by its own name."""
    return {SUFFIX.sub("", name) for name in METRIC.findall(text)}
