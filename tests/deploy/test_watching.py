"""deploy/alerts.yaml and deploy/grafana watch figures that the engine gives, with the labels that these have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.telemetry import Metrics

ROOT = Path(__file__).resolve().parents[2]
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text("utf-8"))
BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "hexcab.json").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
SHOWN: list[str] = [target["expr"] for panel in PANELS for target in panel["targets"]]
OF_PROMETHEUS = {"instance", "job"}
_USE = re.compile(r"(hexcab_[a-z_]+)(?:\{([^}]*)\})?")


def _described() -> dict[str, set[str]]:
    """Every metric of the table in docs/OPERATIONS.md with its labels."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text("utf-8")
    section = text[text.index("## Metrics") : text.index("### Dead events")]
    named = re.findall(r"`(hexcab_[a-z_]+)(?:\{([a-z,]+)\})?`", section)
    return {name: set(labels.split(",")) - {""} for name, labels in named}


def _base(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


def test_the_table_of_metrics_names_those_that_an_engine_has() -> None:
    mine = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in Metrics().registry.collect()
        if not family.name.endswith("_created")
    }
    assert mine <= _described().keys()
    assert _described().keys() - mine == {"hexcab_web_sockets"}  # the edge adds it


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *SHOWN])
def test_an_expression_asks_for_metrics_and_labels_that_exist(expression: str) -> None:
    described = _described()
    for name, selector in _USE.findall(expression):
        assert _base(name) in described, name
        labels = set(re.findall(r"([a-z]+)\s*(?:=~|!~|!=|=)", selector))
        assert labels <= described[_base(name)] | OF_PROMETHEUS, name
    for by in re.findall(r"by \(([a-z, ]+)\)", expression):
        known = set().union(*(described[_base(name)] for name, _ in _USE.findall(expression)))
        assert set(by.split(", ")) <= known | OF_PROMETHEUS | {"le"}
    assert expression.count("(") == expression.count(")")
    assert "hexcab" in expression


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_it_is_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert re.fullmatch(r"\d+[sm]", rule.get("for", "0s"))
    values = set(re.findall(r"\$labels\.([a-z]+)", rule["annotations"]["summary"]))
    kept = re.findall(r"by \(([a-z, ]+)\)", rule["expr"])
    assert values <= (set(kept[0].split(", ")) if kept else {"instance"})


def test_no_rule_has_the_name_of_another() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_every_figure_of_the_engine_is_on_the_board() -> None:
    shown = {_base(name) for expression in SHOWN for name, _ in _USE.findall(expression)}
    assert shown == _described().keys()


def test_panels_stand_beside_each_other_with_ids_of_their_own() -> None:
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in BOARD["panels"]):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_the_board_asks_the_prometheus_and_the_hosts_that_its_reader_chose() -> None:
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"datasource", "instance"}
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"]
        for target in panel["targets"]:
            assert len(re.findall(r"hexcab_", target["expr"])) == target["expr"].count('instance=~"$instance"')
