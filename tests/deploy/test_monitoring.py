"""Rules and dashboard: what Prometheus's own checkers say of them."""

import json
from pathlib import Path

import yaml

from tests.deploy.monitoring import DASHBOARD, PROMETHEUS, panels, promtool, queries


def test_rules_are_rules() -> None:
    checked = promtool("check", "rules", "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout


def test_the_configuration_is_one() -> None:
    checked = promtool("check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_fires_on_what_it_is_for() -> None:
    checked = promtool("test", "rules", "alerts_test.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_alert_is_without_its_test() -> None:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]
              if "alert" in rule}  # fmt: skip
    quiet = {case["alertname"] for case in tests[0]["alert_rule_test"]}
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"]
             if case.get("exp_alerts")}  # fmt: skip
    assert fired == quiet == alerts


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The checkers do check: what they say is worth something."""
    text = (PROMETHEUS / "alerts.yml").read_text().replace("> 900", "> 9000")
    (tmp_path / "alerts.yml").write_text(text)
    (tmp_path / "alerts_test.yml").write_text((PROMETHEUS / "alerts_test.yml").read_text())
    failed = promtool("test", "rules", tmp_path / "alerts_test.yml")
    assert failed.returncode != 0
    assert "StemboxQueueOld" in failed.stdout + failed.stderr


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_panels_lie_side_by_side_and_none_is_twice() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels())
