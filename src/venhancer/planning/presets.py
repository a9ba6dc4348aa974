"""Presets: names for values of settings that save work, each of which can be given by itself. No torch.

Guidance is dropped at low noise only, where both papers that limit it agree (Kynkäänniemi et al. 2024 keep the middle,
Step-AG the first steps). Values are chosen by their work: nobody has measured yet what they cost in quality with the
published weights.
"""

from collections.abc import Mapping
from typing import Any

from venhancer.model_files.traits import SamplingDefaults
from venhancer.settings import EnhanceSettings, Preset

MANY_STEPS = 8  # below, a model is made for few steps: there is little to save, and features change between all
PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    "exact": {},
    "balanced": {"solver": "unipc", "steps": 12, "guidance_until": 250},
    "fast": {"solver": "unipc", "steps": 10, "guidance_until": 300, "feature_reuse": 0.25},
    "draft": {"solver": "unipc", "steps": 6, "guidance_until": 500, "feature_reuse": 0.35, "start_timestep": 800},
}


def preset_values(
    settings: EnhanceSettings, defaults: SamplingDefaults, *, takes_guidance: bool = False
) -> dict[str, Any]:
    """Return what the preset sets: nothing that was given, no more steps than the model's own, nothing of few.

    Of a model that takes guidance in one forward it leaves out when guidance acts.
    """
    if defaults.steps < MANY_STEPS:
        return {}
    values = PRESETS[settings.preset]
    given = {name for name in values if getattr(settings, name) is not None}
    more = {name for name in ("steps", "start_timestep") if values.get(name, 0) >= getattr(defaults, name)}
    more |= {"guidance_from", "guidance_until"} if takes_guidance else set()
    return {name: value for name, value in values.items() if name not in given | more}
