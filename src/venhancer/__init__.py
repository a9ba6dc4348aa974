"""Generative space-time enhancement of video: super-resolution, frame interpolation and refinement in one model."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from venhancer.errors import InputError, JobFailed, SettingsError, Stopped, VEnhancerError, WeightsError

if TYPE_CHECKING:
    from venhancer.checkpoints.adapters import attach_adapters, merge_adapters
    from venhancer.enhance import enhance_video, plan_video
    from venhancer.jobs.report import EnhanceReport
    from venhancer.media.reading.probe import probe
    from venhancer.media.reading.reader import read_frames
    from venhancer.pipeline import VEnhancerPipeline
    from venhancer.plan import EnhancePlan
    from venhancer.planning.machine import find_machine
    from venhancer.settings import EnhanceSettings
    from venhancer.weights import load_pipeline

    __version__: str

__all__ = [
    "EnhancePlan",
    "EnhanceReport",
    "EnhanceSettings",
    "InputError",
    "JobFailed",
    "SettingsError",
    "Stopped",
    "VEnhancerError",
    "VEnhancerPipeline",
    "WeightsError",
    "__version__",
    "attach_adapters",
    "enhance_video",
    "find_machine",
    "load_pipeline",
    "merge_adapters",
    "plan_video",
    "probe",
    "read_frames",
]

_HOMES = {
    "EnhancePlan": "plan",
    "EnhanceReport": "jobs.report",
    "EnhanceSettings": "settings",
    "VEnhancerPipeline": "pipeline",
    "attach_adapters": "checkpoints.adapters",
    "enhance_video": "enhance",
    "find_machine": "planning.machine",
    "load_pipeline": "weights",
    "merge_adapters": "checkpoints.adapters",
    "plan_video": "enhance",
    "probe": "media.reading.probe",
    "read_frames": "media.reading.reader",
}


def __getattr__(name: str) -> object:
    """Import public names on first use, so that importing the package stays fast."""
    if name == "__version__":
        return version("venhancer")
    if name not in _HOMES:
        raise AttributeError(f"module 'venhancer' has no attribute {name!r}")
    return getattr(import_module(f"venhancer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
