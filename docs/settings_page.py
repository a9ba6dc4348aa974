"""Write `docs/settings.md` from the settings themselves: python docs/settings_page.py.

A test makes the page anew and compares, so that it cannot fall behind the code.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from venhancer.cli.flags import SHORTER
from venhancer.model_files.traits import load_traits
from venhancer.settings import EnhanceSettings, allowed_values
from venhancer.training.settings import (
    AugmentSettings,
    DataSettings,
    LogSettings,
    LoraSettings,
    MotionSettings,
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
    "motion": MotionSettings,
    "network": NetworkSettings,
    "augment": AugmentSettings,
    "objective": ObjectiveSettings,
    "log": LogSettings,
}
LONGEST_DEFAULT = 80
AUTHORS_WORDS = "the authors' words"
HEAD = """# Settings

<!-- Made by docs/settings_page.py from the code; change the descriptions there. -->
"""
ENHANCE = """## Enhancement

Each is a field of `venhancer.EnhanceSettings` and a flag: `noise_augmentation` is `--noise-augmentation`. Defaults that
differ by model name it; your own model keeps its defaults in `model_index.json`.
`src/venhancer/model_files/traits.py` lists the authors' words.
"""
RECIPES = """## Training recipes

Keys of a YAML file for `venhancer train`, with their defaults. Unknown keys are refused.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, ENHANCE, enhance_entries(), RECIPES]
    for name, group in GROUPS.items():
        parts.append(f"### {f'`{name}:`' if name else 'Top level'}\n\n{entries(group)}")
    return "\n".join(parts)


def enhance_entries() -> str:
    """Return a list of the settings of an enhancement: values, defaults and description."""
    from_model = model_defaults()
    lines = []
    for name, field in EnhanceSettings.model_fields.items():
        second = f"--no-{name}" if field.default is True else SHORTER.get(name)
        allowed = re.sub(r"^yes or no|^text of up to \d+ characters(, )?", "", allowed_values(name))
        own = "" if field.default in (None, "") else f"default {shown(field.default)}"
        facts = "; ".join(filter(None, (allowed, from_model.get(name, own))))
        names = f"`{name}`{f', `{second}`' if second else ''}{f' ({facts})' if facts else ''}"
        lines.append(f"- {names}: {field.description}\n")
    return "".join(lines)


def model_defaults() -> dict[str, str]:
    """Return the defaults of the settings that models have one for: models that share a value are named together."""
    defaults = {model: asdict(load_traits(model).defaults) for model in MODELS}
    texts = {}
    for name in defaults[MODELS[0]]:
        models: dict[str, list[str]] = {}
        for model in MODELS:
            value = shown(defaults[model][name])
            models.setdefault(AUTHORS_WORDS if len(value) > LONGEST_DEFAULT else value, []).append(model)
        texts[name] = "; ".join(f"{', '.join(names)}: {value}" for value, names in models.items())
    return texts


def entries(group: type[BaseModel]) -> str:
    """Return a list of a group's settings with their defaults and choices, groups within it left out."""
    lines = []
    for name, field in group.model_fields.items():
        if name in GROUPS:
            continue
        is_empty = field.is_required() or field.default in (None, "", {}, ())
        default = "" if is_empty else shown(field.default)
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


if __name__ == "__main__":
    main()
