"""Generative space-time enhancement of video: super-resolution, frame interpolation and refinement in one model."""

from importlib import import_module
from typing import TYPE_CHECKING

from venhancer.errors import InputError, JobFailed, SettingsError, VEnhancerError, WeightsError

if TYPE_CHECKING:
    from venhancer.enhance import enhance_video, plan_video
    from venhancer.pipeline import VEnhancerPipeline
    from venhancer.report import EnhanceReport
    from venhancer.settings import EnhanceSettings
    from venhancer.weights import load_pipeline

__all__ = [
    "EnhanceReport",
    "EnhanceSettings",
    "InputError",
    "JobFailed",
    "SettingsError",
    "VEnhancerError",
    "VEnhancerPipeline",
    "WeightsError",
    "enhance_video",
    "load_pipeline",
    "plan_video",
]

_HOMES = {
    "EnhanceReport": "report",
    "EnhanceSettings": "settings",
    "VEnhancerPipeline": "pipeline",
    "enhance_video": "enhance",
    "load_pipeline": "weights",
    "plan_video": "enhance",
}


def __getattr__(name: str) -> object:
    """Import public names on first use, so that importing the package stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'venhancer' has no attribute {name!r}")
    return getattr(import_module(f"venhancer.{_HOMES[name]}"), name)
