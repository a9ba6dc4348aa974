"""Weights and programs that metrics need and this package does not contain: found by name in one folder."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from venhancer.errors import WeightsError


def find_weights(folder: Path | None) -> dict[str, Path]:
    """Return what a folder holds of the weights and programs in `weights.yaml`, by name; nothing without a folder.

    Raises:
        WeightsError: there is no such folder.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder; name the one with the metrics' weights")
    found = {}
    for name, entry in known_weights().items():
        places = [place for pattern in entry["files"] for place in sorted(folder.glob(pattern))]
        if places:
            found[name] = places[0].absolute()
    return found


def weights_wanted(name: str) -> str:
    """Return what to lay into the folder of weights for a metric or program, and where to get it."""
    entry = known_weights()[name]
    return f"{entry['files'][0]} in the folder --weights: {entry['from']} ({entry['licence']})"


@cache
def known_weights() -> Mapping[str, Mapping[str, Any]]:
    """Return the entries of `weights.yaml`."""
    return yaml.safe_load((files("venhancer.evaluation.metrics") / "weights.yaml").read_text(encoding="utf-8"))
