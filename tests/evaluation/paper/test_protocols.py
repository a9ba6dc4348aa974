"""Protocols and figures are data that fit each other; a wrong one is refused in one line."""

import json
from pathlib import Path

import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.evaluation.paper.protocol import (
    TABLES,
    Protocol,
    figures_for,
    known_sets,
    load_protocol,
    paper_figures,
    source_of,
)
from venhancer.evaluation.paper.systems import known_entries
from venhancer.evaluation.studies.catalogue import choose_studies

PROTOCOLS = {table: load_protocol(table) for table in TABLES}
EVALUATED = [protocol for protocol in PROTOCOLS.values() if protocol.task]


def all_figures(protocol: Protocol) -> list[dict]:
    return [dict(paper_figures(protocol, name)) for name in known_sets(protocol) or ("",)]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.table)
def test_every_row_of_the_paper_is_a_row_of_the_protocol(protocol):
    titles = {known_entries()[name]["title"] for name in (*protocol.rows, *protocol.rivals)}
    for figures in all_figures(protocol):
        assert figures.keys() <= titles


@pytest.mark.parametrize("protocol", EVALUATED, ids=lambda protocol: protocol.table)
def test_every_column_of_the_paper_is_measured_or_said_to_be_absent(protocol):
    titles = {column.title for column in protocol.columns} | protocol.absent.keys()
    for figures in all_figures(protocol):
        assert all(row.keys() <= titles for row in figures.values())
    for name in (*(column.metric for column in protocol.columns), *protocol.free):
        assert metric_named(name).name == name
    assert all(metric_named(f"{name}_shifted").needs_reference for name in protocol.shifted)


def test_tables_1_and_2_are_the_papers():
    first, second = (paper_figures(PROTOCOLS[table]) for table in "12")
    assert first["VEnhancer"]["MUSIQ"] == 56.6113
    assert second["VideoINR"]["Motion Smoothness"] == 0.9933
    assert {len(row) for row in (*first.values(), *second.values())} == {6}
    assert "He et al. 2024" in source_of(PROTOCOLS["1"])
    assert "2605.13182" in source_of(PROTOCOLS["4"])


def test_appendix_names_the_studies_that_exist():
    values = {"a1": (0, 100, 200, 300), "a2": (2.5, 3, 3.5, 4, 4.5), "a3": (3, 4, 5)}
    for table, expected in values.items():
        (study,) = choose_studies([PROTOCOLS[table].study])
        assert study.values == expected


def test_figures_of_a_set_come_by_the_folders_name():
    protocol = PROTOCOLS["4"]
    assert figures_for(protocol, "", [Path("data/UDM10")])["VEnhancer"]["PSNR"] == 21.19
    assert figures_for(protocol, "Vid4", [Path("data/UDM10")])["DiffST"]["LPIPS"] == 0.2699
    assert figures_for(protocol, "", [Path("mine")]) == {}
    with pytest.raises(SettingsError, match="no figures for the set SPMCS; there are UDM10, Vid4, MVSR4x, RealVSR"):
        figures_for(protocol, "SPMCS", [])


def test_a_protocol_of_ones_own_is_read_or_refused(tmp_path):
    file = tmp_path / "mine.yaml"
    content = PROTOCOLS["1"].model_dump() | {"title": "Mine", "free": ["niqe"]}
    file.write_text(json.dumps(content))
    assert load_protocol("1", str(file)).free == ("niqe",)
    with pytest.raises(SettingsError, match="is of table 1, not 2"):
        load_protocol("2", str(file))
    file.write_text("table: '1'\ncolour: red")
    with pytest.raises(SettingsError, match="cannot be used"):
        load_protocol("1", str(file))
    with pytest.raises(SettingsError, match=r"protocol other is unknown; pass 1, 2, 3, a1, a2, a3, diffst"):
        load_protocol("1", "other")
    with pytest.raises(SettingsError, match="table 5 is unknown; pass 1, 2, 3, 4, a1, a2, a3 or systems"):
        load_protocol("5")
