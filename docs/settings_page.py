"""Write `docs/settings.md` from the settings themselves: python docs/settings_page.py.

A test makes the page anew and compares, so that it cannot fall behind the code.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path

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
MODELS = ("nano", "v1", "v2")
GROUPS: Mapping[str, type[BaseModel]] = {
    "": TrainSettings,
    "data": DataSettings,
    "lora": LoraSettings,
    "network": NetworkSettings,
    "augment": AugmentSettings,
    "objective": ObjectiveSettings,
    "log": LogSettings,
}
HEAD = """# Settings

<!-- Made by docs/settings_page.py from the code; change the descriptions there. -->
"""
ENHANCE = """## Of an enhancement

Fields of `venhancer.EnhanceSettings`, and flags of the same name with dashes: `noise_augmentation` is
`--noise-augmentation`. Where the default is *the model's*, see the next table.
"""
DEFAULTS = """## What the models bring

A model folder of your own has its defaults in `model_index.json`.
"""
INDEX = """## Of `venhancer train index`

Flags of the command that makes the manifest; [training-data.md](training-data.md) shows its use.
"""
RECIPES = """## Of a training recipe

Keys of a YAML file for `venhancer train`. An unknown key is refused, with the nearest known one.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """Return the page as Markdown."""
    tables = [
        (ENHANCE, table(("setting", "takes", "default", "what it does"), enhance_rows())),
        (DEFAULTS, table(("setting", *MODELS), default_rows())),
    ]
    sections = [part for head, rows in tables for part in (head, rows)]
    sections.extend([INDEX, table(("flag", "default", "what it does"), index_rows())])
    sections.append(RECIPES)
    columns = ("key", "default", "what it does")
    for name, group in GROUPS.items():
        sections.append(f"### {f'`{name}:`' if name else 'Top level'}\n\n{table(columns, recipe_rows(group))}")
    return "\n".join([HEAD, *sections]).rstrip("\n") + "\n"


def enhance_rows() -> Iterator[tuple[str, ...]]:
    """Yield one row a setting of an enhancement."""
    from_model = {field.name for field in fields(SamplingDefaults)}
    for name, field in EnhanceSettings.model_fields.items():
        shorter = f", `{SHORTER[name]}`" if name in SHORTER else ""
        default = "the model's" if name in from_model else shown(field.default)
        yield f"`{name}`{shorter}", allowed_values(name), default, field.description or ""


def index_rows() -> Iterator[tuple[str, ...]]:
    """Yield one row a setting of making a manifest."""
    for name, field in IndexSettings.model_fields.items():
        yield f"`--{name.replace('_', '-')}`", shown(field.default), field.description or ""


def default_rows() -> Iterator[tuple[str, ...]]:
    """Yield one row a setting that models have a default for."""
    defaults = [asdict(load_traits(model).defaults) for model in MODELS]
    for name in defaults[0]:
        yield f"`{name}`", *(shown(values[name]) for values in defaults)


def recipe_rows(group: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Yield one row a key of a group of training settings, groups within it left out."""
    for name, field in group.model_fields.items():
        if name not in GROUPS:
            default = "needed" if field.is_required() else shown(field.default)
            yield f"`{name}`", default, field.description or ""


def shown(value: object) -> str:
    """Return a default as it stands in the table."""
    if value is None or value in ("", {}):
        return "none"
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
