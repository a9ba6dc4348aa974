"""Protocols: what a table compares with what, and the figures that papers give for it; both are data."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from venhancer.errors import SettingsError
from venhancer.evaluation.degrade import Kernel

Figures = Mapping[str, Mapping[str, float]]
"""What a paper found, by row and column."""

DEFAULTS: Mapping[str, str] = {"4": "diffst"}
"""Protocols of tables that are called otherwise than the table."""

TABLES = ("1", "2", "3", "4", "a1", "a2", "a3")


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Data):
    """A column: its title in the paper and the metric that measures it."""

    title: str
    metric: str


class Task(_Data):
    """What systems are asked to make, and of what."""

    scale: int
    factor: int
    has_reference: bool
    kernel: Kernel = "bicubic"


class Protocol(_Data):
    """A file of `protocols`.

    Args:
        table: its number.
        title: of the table.
        figures: the paper whose figures are shown, in `figures.json`; none if empty.
        clips: what it is measured on, and where to get that.
        task: of tables 1, 2 and 4.
        suite: whether it is VBench's, over folders of videos that exist.
        study: of the appendix, the study that shows it.
        size_rule: in words, for the table.
        columns: the paper's.
        absent: columns of the paper that cannot be measured here, and why.
        free: further metrics, which need no weights.
        shifted: metrics shown at the best shift too.
        rows: systems the paper compares, in its order.
        rivals: further systems.
        ours: those that others are compared with clip by clip; the first that ran.
    """

    table: Literal["1", "2", "3", "4", "a1", "a2", "a3"]
    title: str
    figures: str = ""
    clips: str
    task: Task | None = None
    suite: bool = False
    study: str = ""
    size_rule: str
    columns: tuple[Column, ...] = ()
    absent: dict[str, str] = {}
    free: tuple[str, ...] = ()
    shifted: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()


def load_protocol(table: str, name: str = "") -> Protocol:
    """Return the protocol of a table.

    Args:
        table: its number, of `TABLES`.
        name: of another protocol of this package, or a YAML file of the user's.

    Raises:
        SettingsError: there is none, or it is of another table.
    """
    if table not in TABLES:
        raise SettingsError(f"table {table} is unknown; pass {', '.join(TABLES)} or systems")
    folder = files("venhancer.evaluation.paper") / "protocols"
    known = sorted(Path(file.name).stem for file in folder.iterdir())
    name = name or DEFAULTS.get(table, table)
    file: Any = folder / f"{name}.yaml" if name in known else Path(name)
    if not file.is_file():
        raise SettingsError(f"protocol {name} is unknown; pass {', '.join(known)}, or a YAML file")
    try:
        protocol = Protocol(**yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeError, yaml.YAMLError, ValidationError, TypeError) as error:
        raise SettingsError(f"protocol {name} cannot be used: {' '.join(str(error).split())[:200]}") from error
    if protocol.table != table:
        raise SettingsError(f"protocol {name} is of table {protocol.table}, not {table}; name another")
    return protocol


def paper_figures(protocol: Protocol, clips: str = "") -> Figures:
    """Return a paper's figures for a protocol, by title of row and column; empty if it gives none.

    Args:
        protocol: whose table is meant.
        clips: the set, where a paper gives figures for several; none are known for another.
    """
    table = _papers().get(protocol.figures, {}).get("tables", {}).get(protocol.table, {})
    return table["sets"].get(clips, {}) if "sets" in table else table.get("figures", {})


def figures_for(protocol: Protocol, name: str, clips: Sequence[Path]) -> Figures:
    """Return a paper's figures for a set, or for the one that the clips' folder is called after.

    Raises:
        SettingsError: the paper gives none for the set named.
    """
    sets = known_sets(protocol)
    if name and name not in sets:
        raise SettingsError(f"there are no figures for the set {name}; there are {', '.join(sets) or 'none by set'}")
    return paper_figures(protocol, name or next((path.name for path in clips if path.name in sets), ""))


def known_sets(protocol: Protocol) -> tuple[str, ...]:
    """Return the sets that a paper gives figures for, if there are several."""
    table = _papers().get(protocol.figures, {}).get("tables", {}).get(protocol.table, {})
    return tuple(table.get("sets", ()))


def source_of(protocol: Protocol) -> str:
    """Return where a protocol's figures are from; empty if there are none."""
    paper = _papers().get(protocol.figures, {})
    return f"{paper['source']} ({paper['address']})" if paper else ""


@cache
def _papers() -> dict[str, Any]:
    return json.loads((files("venhancer.evaluation.paper") / "figures.json").read_text(encoding="utf-8"))
