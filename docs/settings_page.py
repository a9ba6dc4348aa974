"""Write `docs/settings.md` from the settings themselves: python docs/settings_page.py.

A test makes the page anew and compares, so that it cannot fall behind the code.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from venhancer.cli.flags import SHORTER
from venhancer.model_files.traits import SamplingDefaults, load_traits
from venhancer.settings import EnhanceSettings, allowed_values
from venhancer.training.settings import (
    AugmentSettings,
    DataSettings,
    IndexSettings,
    LogSettings,
    LoraSettings,
    NetworkSettings,
    ObjectiveSettings,
    TrainSettings,
)

PAGE = Path(__file__).with_name("settings.md")
RELEASES = ("v1", "v2")
GROUPS: Mapping[str, type[BaseModel]] = {
    "": TrainSettings,
    "data": DataSettings,
    "lora": LoraSettings,
    "network": NetworkSettings,
    "augment": AugmentSettings,
    "objective": ObjectiveSettings,
    "log": LogSettings,
}
LONGEST_CELL = 80
AUTHORS_WORDS = "the authors' words"
HEAD = """# Settings

<!-- Made by docs/settings_page.py from the code; change the descriptions there. -->
"""
ENHANCE = """## Enhancement

Each is a field of `venhancer.EnhanceSettings` and a flag: `noise_augmentation` is `--noise-augmentation`. Settings in
the next table default to the model's value.
"""
DEFAULTS = """## Defaults of the models

Your own model's defaults are in its `model_index.json`; the authors' words are in `src/venhancer/model_files/traits.py`.
"""
INDEX = """## `venhancer train index`

See [training-data.md](training-data.md).
"""
RECIPES = """## Training recipes

Keys of a YAML file for `venhancer train`, with their defaults. Unknown keys are refused.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """Return the page as Markdown."""
    releases = " and ".join(f"`{model}`" for model in RELEASES)
    parts = [
        HEAD,
        ENHANCE,
        enhance_entries(),
        DEFAULTS,
        table(("setting", "`nano`", releases), default_rows()),
        INDEX,
        entries(IndexSettings, "--"),
        RECIPES,
    ]
    for name, group in GROUPS.items():
        parts.append(f"### {f'`{name}:`' if name else 'Top level'}\n\n{entries(group)}")
    return "\n".join(parts)


def enhance_entries() -> str:
    """Return a list of the settings of an enhancement: values, default unless it is the model's, and description."""
    from_model = {field.name for field in fields(SamplingDefaults)}
    lines = []
    for name, field in EnhanceSettings.model_fields.items():
        second = f"--no-{name}" if field.default is True else SHORTER.get(name)
        default = "" if name in from_model or field.default in (None, "") else f"; default {shown(field.default)}"
        names = f"`{name}`{f', `{second}`' if second else ''}"
        lines.append(f"- {names} ({allowed_values(name)}{default}): {field.description}\n")
    return "".join(lines)


def default_rows() -> Iterator[tuple[str, ...]]:
    """Yield one row a setting that models have a default for; the releases share a cell where they agree."""
    nano, *releases = (asdict(load_traits(model).defaults) for model in ("nano", *RELEASES))
    for name in nano:
        values = [shown(release[name]) for release in releases]
        values = [AUTHORS_WORDS if len(value) > LONGEST_CELL else value for value in values]
        differ = ", ".join(f"{model}: {value}" for model, value in zip(RELEASES, values, strict=True))
        yield f"`{name}`", shown(nano[name]), values[0] if len(set(values)) == 1 else differ


def entries(group: type[BaseModel], dashes: str = "") -> str:
    """Return a list of a group's settings with their defaults and choices, groups within it left out."""
    lines = []
    for name, field in group.model_fields.items():
        if name in GROUPS:
            continue
        is_empty = field.is_required() or field.default in (None, "", {}, ()) or (dashes and field.default is False)
        default = "" if is_empty else shown(field.default)
        if dashes:
            key = f"{dashes}{name.replace('_', '-')} {'x'.join(default.strip('[]').split(', '))}".rstrip()
        else:
            key = f"{name}: {default}" if default else name
        choices = ", ".join(word for word in literals(field.annotation) if word != field.default)
        note = "required" if field.is_required() else f"or {choices}" if choices and default else choices
        lines.append(f"- `{key}`{f' ({note})' if note else ''}: {field.description}\n")
    return "".join(lines)


def literals(annotation: object) -> list[str]:
    """Return the words that a field takes, if it takes nothing else."""
    if get_origin(annotation) is Literal:
        return [word for word in get_args(annotation) if isinstance(word, str)]
    branches = () if get_origin(annotation) is tuple else get_args(annotation)
    return [word for branch in branches if get_origin(branch) is Literal for word in literals(branch)]


def shown(value: object) -> str:
    """Return a default as a recipe would hold it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(shown(part) for part in value)}]"
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    first, *others = (f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in (head, *rows))
    return "".join([first, f"|{'---|' * len(head)}\n", *others])


if __name__ == "__main__":
    main()
