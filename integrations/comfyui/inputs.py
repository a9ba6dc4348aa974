"""Inputs of the nodes, made from the fields of `EnhanceSettings` as the flags of the command line are."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from venhancer.model_files.traits import SamplingDefaults
from venhancer.settings import EnhanceSettings, allowed_values, parse_settings

OWN = "default"
"""What a choice says that leaves a setting to the model or the program."""

USUAL = ("scale", "fps", "prompt", "noise_augmentation")
"""Shown at once; all others are advanced."""

OF_FILES = (
    *("codec", "crf", "pix_fmt", "encoder", "background", "keep_damaged", "start", "end", "input_fps", "deinterlace"),
)
"""Settings that mean nothing for images in memory."""

ELSEWHERE = ("model", "seed")
"""Settings that have an input of their own kind."""


def setting_inputs(io: Any, *, of_images: bool = False) -> list[Any]:  # noqa: ANN401 - a module
    """Return an input for every setting, those that most people use first.

    Args:
        io: ComfyUI's module of inputs.
        of_images: leave out what is about files.
    """
    names = [name for name in EnhanceSettings.model_fields if name not in ELSEWHERE]
    names = [name for name in names if not (of_images and name in OF_FILES)]
    made = [_input(io, name) for name in sorted(names, key=lambda name: name not in USUAL)]
    hint = EnhanceSettings.model_fields["seed"].description
    seed = io.Int.Input(  # one that changed by itself after each run would never resume
        "seed", default=0, min=0, max=2**53, control_after_generate=False, tooltip=hint
    )
    return [*made, seed]


def _input(io: Any, name: str) -> Any:  # noqa: ANN401 - likewise
    field = EnhanceSettings.model_fields[name]
    from_model = {one.name for one in fields(SamplingDefaults)}
    hint = str(field.description)
    shown: dict[str, Any] = {"tooltip": hint, "optional": True, "advanced": name not in USUAL}
    if field.annotation is bool:
        return io.Boolean.Input(name, default=bool(field.default), **shown)
    choices = _choices(field.annotation)
    if choices:
        return io.Combo.Input(name, options=[OWN, *choices], default=OWN, **shown)
    empty = "empty: the model's" if name in from_model else "empty: the default"
    shown["tooltip"] = f"{hint} ({allowed_values(name)}; {empty})"
    return io.String.Input(name, default="", multiline=name == "prompt", **shown)


def _choices(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(get_args(annotation))
    return tuple(word for branch in get_args(annotation) for word in _choices(branch))


def read_settings(given: dict[str, Any]) -> EnhanceSettings:
    """Return what the inputs ask for; those that were left alone say nothing.

    Raises:
        SettingsError: one line naming each value that cannot be.
    """
    values = {}
    for name, value in given.items():
        text = value.strip() if isinstance(value, str) else value
        if text in ("", OWN, None) or text == EnhanceSettings.model_fields[name].default:
            continue
        values[name] = text
    return parse_settings(**values)
