"""What people ask for in words, and which settings it means: the tables that the page shows and `docs/page.md` repeats.

Levels run from 1 to 5. Models of many steps have all of them, with the model's own values in the middle; models of few
steps start from the input itself, so there creativity is noise augmentation alone, from none on, and sharpness is left
out where a model attends to no text.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from venhancer.media.clip import ClipInfo
from venhancer.model_files.traits import ModelTraits

Values = Mapping[str, Any]
"""Fields of `EnhanceSettings`; a field that is not there keeps the model's own value."""

LEVELS = (1, 2, 3, 4, 5)
CREATIVITY: Mapping[str, tuple[Values, ...]] = {
    "many steps": (
        {"noise_augmentation": 50, "start_timestep": 600},
        {"noise_augmentation": 125, "start_timestep": 750},
        {},
        {"noise_augmentation": 250, "start_timestep": 950},
        {"noise_augmentation": 300, "start_timestep": 999},
    ),
    "few steps": (
        {},
        {"noise_augmentation": 75},
        {"noise_augmentation": 150},
        {"noise_augmentation": 225},
        {"noise_augmentation": 300},
    ),
}
SHARPNESS: tuple[Values, ...] = (
    {"guidance_scale": 3.0},
    {"guidance_scale": 5.0},
    {},
    {"guidance_scale": 10.0},
    {"guidance_scale": 12.5},
)

AS_IT_IS = "as it is"
SIZES: Mapping[str, Values] = {
    AS_IT_IS: {"scale": 1},
    "2x": {"scale": 2},
    "4x": {"scale": 4},
    "1080p": {"side": 1080},
    "4K": {"side": 2160},
}
"""Sizes by name; `side` is the length of the shorter side, at the clip's own shape."""

RATES: Mapping[str, Values] = {
    AS_IT_IS: {},
    "24": {"fps": "24"},
    "30": {"fps": "30"},
    "60": {"fps": "60"},
    "half speed": {"slow": 2},
    "quarter speed": {"slow": 4},
}
"""Rates by name; slow motion makes the frames between at the clip's own rate."""

PRESETS: Mapping[str, Mapping[str, str | int]] = {
    "enlarge": {"size": "4x", "rate": AS_IT_IS, "creativity": 0},
    "smooth motion": {"size": "2x", "rate": "60", "creativity": 0},
    "finish a generated clip": {"size": "4x", "rate": "24", "creativity": 1},
    "remove flicker": {"size": AS_IT_IS, "rate": AS_IT_IS, "creativity": 4},
}
"""Starting points: a size, a rate, and levels of creativity above the model's own, as far as there are any."""

PREVIEW_FRAMES = 10


def kind_of(traits: ModelTraits) -> str:
    """Return which of the tables of creativity a model goes by."""
    return "few steps" if traits.defaults.start_noise < 1 else "many steps"


def own_level(traits: ModelTraits) -> int:
    """Return the level of creativity that is a model's own."""
    return 1 + CREATIVITY[kind_of(traits)].index({})


def look_of(traits: ModelTraits, creativity: int, sharpness: int) -> dict[str, Any]:
    """Return the settings that two levels mean for a model.

    Raises:
        ValueError: a level is none of `LEVELS`.
    """
    if creativity not in LEVELS or sharpness not in LEVELS:
        raise ValueError(f"creativity {creativity} and sharpness {sharpness} must be 1 to 5")
    guidance = SHARPNESS[sharpness - 1] if traits.network.attends_to_text else {}
    return {**CREATIVITY[kind_of(traits)][creativity - 1], **guidance}


def extent_of(size: str, rate: str, clip: ClipInfo) -> dict[str, Any]:
    """Return the settings that a size and a rate mean for a clip.

    Raises:
        KeyError: one of them has no such name.
    """
    values = {**SIZES[size], **RATES[rate]}
    side = values.pop("side", None)
    if side is not None:
        width = clip.width * clip.sample_aspect_ratio
        factor = Fraction(side) / min(width, clip.height)
        values["size"] = f"{_even(width * factor)}x{_even(clip.height * factor)}"
    return values


def preview_span(clip: ClipInfo, start: float) -> dict[str, Any]:
    """Return the settings of a preview: a few frames of the clip from a time on, given in seconds."""
    first = min(int(start * clip.rate), max(0, clip.frames - PREVIEW_FRAMES))
    begin = Fraction(first) / clip.rate
    return {"start": begin, "end": begin + Fraction(PREVIEW_FRAMES) / clip.rate}


def _even(length: Fraction | int) -> int:
    return max(2, 2 * round(length / 2))
