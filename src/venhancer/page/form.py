"""What is filled in, as settings: the words above, and every other setting by its own name and description.

No setting is listed here: the page has a control for each field of `EnhanceSettings`, as the command line has a flag.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from venhancer.model_files.traits import SamplingDefaults, load_traits
from venhancer.page.words import extent_of, look_of, preview_span
from venhancer.serving.outlook import look_at
from venhancer.settings import EnhanceSettings, allowed_values, parse_settings

IN_WORDS = ("prompt", "memory", "model")
"""Fields that have a control of their own outside "More"."""

ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The control of one setting.

    Args:
        name: of the field.
        label: of the control.
        hint: what it does and what it takes.
        choices: what can be chosen; empty for text.
        default: what it holds at first; None for the model's own or none.
    """

    name: str
    label: str
    hint: str
    choices: tuple[str, ...] = ()
    default: bool | None = None


def controls() -> tuple[Control, ...]:
    """Return the controls under "More", one for every setting that has none above."""
    from_model = {field.name for field in fields(SamplingDefaults)}
    made = []
    for name, field in EnhanceSettings.model_fields.items():
        if name in IN_WORDS:
            continue
        allowed = "" if field.annotation is bool else f" ({allowed_values(name)})"
        default = " Empty: the model's." if name in from_model else ""
        made.append(
            Control(
                name=name,
                label=name.replace("_", " "),
                hint=f"{field.description}{allowed}{default}",
                choices=_choices(field.annotation),
                default=bool(field.default) if field.annotation is bool else None,
            )
        )
    return tuple(made)


def _choices(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(get_args(annotation))
    return tuple(word for branch in get_args(annotation) for word in _choices(branch))


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is filled in.

    Args:
        source: the clip.
        size: one of `SIZES`.
        rate: one of `RATES`.
        creativity: 1 to 5.
        sharpness: 1 to 5.
        prompt: what the clip shows.
        memory: limit, as text; empty for none.
        model: its name.
        ending: of the target's name.
        more: values of the controls under "More" by name, as they are.
    """

    source: Path
    size: str
    rate: str
    creativity: int
    sharpness: int
    prompt: str
    memory: str
    model: str
    ending: str
    more: Mapping[str, Any]

    def settings(self, *, preview_from: float | None = None) -> EnhanceSettings:
        """Return what is asked for. What is filled in under "More" goes before what the words above say.

        Args:
            preview_from: seconds, for a few frames from there on only.

        Raises:
            SettingsError: a value cannot be.
            InputError: the clip cannot be used.
            WeightsError: the model is not there.
        """
        traits, own = load_traits(self.model), self._given()
        how = {name: own[name] for name in ("end", "keep_damaged") if name in own}
        clip = look_at(self.source, parse_settings(**how))
        words = extent_of(self.size, self.rate, clip)
        if {"scale", "size"} & own.keys():
            words = {name: value for name, value in words.items() if name not in ("scale", "size")}
        words |= look_of(traits, self.creativity, self.sharpness)
        named = {"prompt": self.prompt.strip(), "memory": self.memory.strip()}
        if self.model != EnhanceSettings.model_fields["model"].default:
            named["model"] = self.model
        span = {} if preview_from is None else preview_span(clip, preview_from)
        return parse_settings(**words | {name: value for name, value in named.items() if value} | own | span)

    def _given(self) -> dict[str, Any]:
        """Return what was filled in under "More" and is not as it was."""
        given = {}
        for control in controls():
            value = self.more.get(control.name)
            if isinstance(value, str):
                value = value.strip()
            if value not in (None, "", control.default):
                given[control.name] = value
        return given


def command_of(name: str, settings: EnhanceSettings, target: str) -> str:
    """Return the command that does the same."""
    words = ["venhancer", "enhance", name, target]
    for field, value in settings.model_dump(mode="json", exclude_unset=True).items():
        flag = field.replace("_", "-")
        if value is None or value == EnhanceSettings.model_fields[field].default:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", "x".join(map(str, value)) if isinstance(value, list) else str(value)]
    return shlex.join(words)
