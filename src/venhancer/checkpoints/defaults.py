"""Sampling settings that the published releases were shown with; they go into `model_index.json` as the model's own.

The authors' fixed words of quality and their negative prompt are among them, so that a plan can show and a user can
change them.
"""

from typing import Literal

Version = Literal["v1", "v2"]

_OF_BOTH: dict[str, float | int | str] = {
    "solver": "dpmpp_2m_sde",
    "timetable": "trailing",
    "start_timestep": 899,
    "guidance_scale": 7.5,
    "guidance_rescale": 0.2,
    "noise_augmentation": 200,
    "window_frames": 32,
    "window_overlap": 16,
    "prompt_suffix": (
        "Cinematic, High Contrast, highly detailed, taken using a Canon EOS R camera, hyper detailed photo - realistic "
        "maximum detail, 32k, Color Grading, ultra HD, extreme meticulous detailing, skin pore detailing, "
        "hyper sharpness, perfect without deformations."
    ),
    "negative_prompt": (
        "painting, oil painting, illustration, drawing, art, sketch, oil painting, cartoon, CG Style, 3D render, "
        "unreal engine, blurring, dirty, messy, worst quality, low quality, frames, watermark, signature, "
        "jpeg artifacts, deformed, lowres, over-smooth"
    ),
}
_STEPS: dict[Version, int] = {"v1": 50, "v2": 15}


def published_defaults(version: Version) -> dict[str, float | int | str]:
    """Return the sampling defaults of a release: v1 takes 50 steps, v2 15."""
    return {"steps": _STEPS[version], **_OF_BOTH}
