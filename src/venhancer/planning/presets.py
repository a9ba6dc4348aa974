"""Presets: names for values of settings that save work, each of which can be given by itself. No torch.

Values are those that cost nothing on the small diffusion model of `recipes/teacher.yaml` (docs/performance.md): DDIM,
which needs no earlier steps, beat UniPC and 2M there, and leaving out guidance at high noise improved results, as in
Kynkäänniemi et al. 2024. Nobody has measured yet what they cost with the published weights.
"""

from collections.abc import Mapping
from typing import Any

from venhancer.model_files.traits import SamplingDefaults
from venhancer.settings import EnhanceSettings, Preset

MANY_STEPS = 8  # below, a model is made for few steps: there is little to save, and features change between all
PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    "exact": {},
    "balanced": {"solver": "ddim", "steps": 12, "guidance_from": 600},
    "fast": {"solver": "ddim", "steps": 10, "guidance_from": 600, "feature_reuse": 0.25},
    "draft": {"solver": "ddim", "steps": 6, "guidance_from": 350, "feature_reuse": 0.35, "start_timestep": 800},
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
