"""What a model folder holds, for people: sizes, number formats, defaults and where it was converted from. No torch."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from venhancer.model_files.folders import INDEX_FILE, damaged, find_model, is_component, read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentDescription:
    """The facts of one component's weight file."""

    name: str
    class_name: str
    parameters: int
    dtypes: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What a model folder holds.

    Args:
        folder: where it is.
        components: those with weights, in the index's order.
        settings: everything else in the index, such as the model's own defaults.
        conversion: the record of `convert`, with the inputs' checksums; None for a model trained by us.
    """

    folder: Path
    components: tuple[ComponentDescription, ...]
    settings: dict[str, Any]
    conversion: dict[str, Any] | None

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield it as labels and values."""
        yield "folder", str(self.folder)
        for part in self.components:
            size = f"{part.parameters / 1e6:,.2f} M parameters, {part.bytes / 1e6:,.1f} MB {' and '.join(part.dtypes)}"
            yield part.name, f"{part.class_name}, {size}"
        for name, value in self.settings.items():
            yield name, json.dumps(value)
        if self.conversion is not None:
            yield "converted from", json.dumps(self.conversion)


def describe_model(model: str | Path) -> ModelDescription:
    """Return what a model folder holds, from its JSON files and the headers of its weight files.

    Raises:
        WeightsError: there is no such model, or its folder is incomplete or damaged.
    """
    folder = find_model(model)
    index = read_json(folder / INDEX_FILE)
    record = folder / "conversion.json"
    return ModelDescription(
        folder=folder,
        components=tuple(
            _describe_component(path, value[1])
            for name, value in index.items()
            if is_component(value) and (path := next((folder / name).glob("*.safetensors"), None))
        ),
        settings={name: value for name, value in index.items() if not is_component(value) and name[0] != "_"},
        conversion=read_json(record) if record.is_file() else None,
    )


def _describe_component(path: Path, class_name: str) -> ComponentDescription:
    try:
        with safe_open(path, framework="numpy") as tensors:
            slices = [tensors.get_slice(key) for key in tensors.keys()]  # noqa: SIM118 - no mapping
            return ComponentDescription(
                name=path.parent.name,
                class_name=class_name,
                parameters=sum(math.prod(each.get_shape()) for each in slices),
                dtypes=tuple(sorted({each.get_dtype() for each in slices})),
                bytes=path.stat().st_size,
            )
    except SafetensorError as error:
        raise damaged(path, error) from error
