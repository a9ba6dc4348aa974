"""Where models are: names to folders, without torch, so that plans and help texts stay fast."""

import os
from importlib.resources import files
from pathlib import Path

from venhancer.errors import WeightsError

EMBEDDED = "nano"
PUBLISHED = ("v1", "v2")
INDEX_FILE = "model_index.json"


def cache_folder() -> Path:
    """Return where downloaded and converted models are kept: `$VENHANCER_CACHE`, else `~/.cache/venhancer`."""
    return Path(os.environ.get("VENHANCER_CACHE") or Path.home() / ".cache" / "venhancer")


def find_model(model: str | Path) -> Path:
    """Return the folder of a model: "nano" is embedded, "v1" and "v2" are in the cache, else it is a folder's path.

    Raises:
        WeightsError: there is no model there; the message says what to do.
    """
    name = str(model)
    if name == EMBEDDED:
        folder, remedy = Path(str(files("venhancer") / "nano")), "install the package again"
    elif name in PUBLISHED:
        folder = cache_folder() / name
        remedy = f"run `venhancer weights download {name}`, or convert files you have with `venhancer weights convert`"
    else:
        folder, remedy = Path(model), f"give a model folder or one of {', '.join((EMBEDDED, *PUBLISHED))}"
    if not (folder / INDEX_FILE).is_file():
        raise WeightsError(f"model {name}: {folder} holds no {INDEX_FILE}; {remedy}")
    return folder
