"""The image and its company: settings are settings, files are there, the health check tells."""

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.api.edge.proxies import read_address
from server.config import load
from server.net.addresses import parse_networks
from tests.harness import free_port, serving

TOP = Path(__file__).resolve().parent.parent.parent
GIVEN = {"STEMBOX_DOMAIN": "localhost", "GRAFANA_PASSWORD": "secret"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, comments and line ends taken out."""
    lines = [line for line in (TOP / "Dockerfile").read_text().splitlines()
             if not line.startswith("#")]  # fmt: skip
    text = "\n".join(lines).replace("\\\n", " ")
    found = []
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        found.append((name, rest.strip()))
    return found


def only(name: str) -> str:
    """The argument of the last instruction of that name."""
    return [rest for found, rest in instructions() if found == name][-1]


def image_environment() -> dict[str, str]:
    """What the image sets."""
    return dict(part.split("=", 1) for part in shlex.split(only("ENV")))


def compose() -> dict[str, Any]:
    """compose.yaml, its variables at their defaults; those that must be given are in `GIVEN`."""
    text = re.sub(
        r"\$\{(\w+):([-?])([^}]*)\}",
        lambda found: found[3] if found[2] == "-" else GIVEN[found[1]],
        (TOP / "compose.yaml").read_text(),
    )
    assert "${" not in text
    made: dict[str, Any] = yaml.safe_load(text)
    return made


def test_the_images_settings_are_settings_and_enough_to_serve() -> None:
    config = load(environ=image_environment())
    assert (config.server.host, config.data_dir) == ("0.0.0.0", Path("/data"))
    assert config.pipeline.auth == "api_key"
    assert only("VOLUME") == "/data"
    assert only("EXPOSE") == str(config.server.port)


def test_it_runs_as_nobody_in_particular_below_an_init() -> None:
    assert only("USER") == "stembox"
    names = [name for name, _ in instructions()]
    assert names.index("VOLUME") > len(names) - 1 - names[::-1].index("USER"), "owned by then"
    assert json.loads(only("ENTRYPOINT")) == ["tini", "--", "stembox"]
    assert "tini" in " ".join(rest for name, rest in instructions() if name == "RUN")


def test_everything_that_the_wheel_is_made_of_reaches_the_build() -> None:
    wanted, ignored = set(), []
    for line in (TOP / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            wanted.add(line[1:])
        elif not line.startswith("#"):
            ignored.append(line)
    assert all((TOP / name).exists() for name in wanted)
    project = (TOP / "pyproject.toml").read_text()
    packages = re.search(r"packages = \{ find = \{ include = \[(.*?)\]", project)
    assert packages is not None
    needed = {name.strip(' "*') for name in packages[1].split(",")}
    needed |= {"README.md", "LICENSE", "pyproject.toml", "config.toml", "requirements.lock"}
    assert needed == wanted
    tracked = subprocess.run(["git", "ls-files", "server", "store"], cwd=TOP, text=True,
                             capture_output=True, check=True).stdout.split()  # fmt: skip
    for pattern in ignored[1:]:
        lost = [name for name in tracked if fnmatch.fnmatch(name, pattern)]
        assert not lost, pattern


def test_the_health_check_tells_a_server_from_none(tmp_path: Path) -> None:
    check = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    assert check[0] == "python"

    def healthy(port: int) -> bool:
        command = [sys.executable, *(part.replace(":8000", f":{port}") for part in check[1:])]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    settings = {name.removeprefix("STEMBOX_"): value for name, value in image_environment().items()
                if name.startswith("STEMBOX_") and not name.endswith("DATA_DIR")}  # fmt: skip
    with serving(tmp_path / "data", **settings) as server:
        assert healthy(server.port)
    assert not healthy(free_port())


@pytest.mark.parametrize("service", ["stembox", "proxy", "prometheus", "grafana"])
def test_what_is_mounted_is_there(service: str) -> None:
    made = compose()
    for mount in made["services"][service]["volumes"]:
        source = mount.split(":")[0]
        if source.startswith("./"):
            assert (TOP / source).exists(), source
        else:
            assert source in made["volumes"], source


def test_each_service_is_told_where_the_others_are() -> None:
    services = compose()["services"]
    scraped = yaml.safe_load((TOP / ".deploy/prometheus/prometheus.yml").read_text())
    (target,) = scraped["scrape_configs"][0]["static_configs"][0]["targets"]
    source = yaml.safe_load(
        (TOP / ".deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    boards = yaml.safe_load(
        (TOP / ".deploy/grafana/provisioning/dashboards/stembox.yml").read_text()
    )
    assert target == services["proxy"]["environment"]["STEMBOX_UPSTREAM"] == "stembox:8000"
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    folder = boards["providers"][0]["options"]["path"]
    assert f"./.deploy/grafana/dashboards:{folder}:ro" in services["grafana"]["volumes"]
    for one, other in (("proxy", "stembox"), ("prometheus", "stembox"), ("grafana", "prometheus")):
        assert set(services[one]["networks"]) & set(services[other]["networks"])


def test_the_proxy_is_believed_and_prometheus_may_look_and_not_the_other_way() -> None:
    made = compose()
    config = load(environ=image_environment() | made["services"]["stembox"]["environment"])
    front, watch = (
        parse_networks([made["networks"][name]["ipam"]["config"][0]["subnet"]], name)[0]
        for name in ("front", "watch")
    )
    believed = parse_networks(config.server.trusted_proxies, "")
    shown = parse_networks(config.metrics.allow_networks, "")
    assert list(believed) == [front]
    assert watch in shown
    assert not any(network.overlaps(front) for network in shown)
    assert read_address("127.0.0.1") in shown[0]
    assert config.server.public_url == "https://localhost"


def test_a_container_has_no_more_rights_than_it_needs() -> None:
    stembox = compose()["services"]["stembox"]
    assert stembox["read_only"] is True
    assert stembox["cap_drop"] == ["ALL"]
    assert stembox["security_opt"] == ["no-new-privileges:true"]
    grace = load(environ={}).server.grace_seconds
    assert int(stembox["stop_grace_period"].removesuffix("s")) > grace + 10
    assert "ports" not in stembox, "the proxy's alone"
