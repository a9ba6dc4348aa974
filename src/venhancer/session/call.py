"""A pipeline called on arrays, as people know it from diffusers: a generator, a callback, a type of output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from diffusers.utils.outputs import BaseOutput
from jaxtyping import UInt8
from PIL import Image

from venhancer.errors import SettingsError
from venhancer.media.clip import describe_frames
from venhancer.media.reading.shots import Findings, look_through_frames
from venhancer.plan import make_plan
from venhancer.progress import SILENT, Progress
from venhancer.settings import parse_ratio, parse_settings

Callback = Callable[[Any, int, float, dict[str, Any]], dict[str, Any]]
Clip = UInt8[np.ndarray, "f h w 3"]


@dataclass
class VEnhancerOutput(BaseOutput):
    """What a call with an `output_type` returns.

    Args:
        frames: of one clip: float32 (1, f, h, w, 3) or (1, f, 3, h, w) in [0, 1], or a list of one list of pictures.
    """

    frames: Any


class InCalls:
    """What makes a pipeline one that can be called on arrays."""

    def __call__(
        self,
        frames: Clip | Sequence[Image.Image],
        *,
        source_fps: Fraction | float | str,
        progress: Progress = SILENT,
        generator: torch.Generator | None = None,
        output_type: str | None = None,
        callback_on_step_end: Callback | None = None,
        **settings: object,
    ) -> Any:  # noqa: ANN401 - as `output_type` says
        """Return enhanced frames, all in memory.

        Args:
            frames: uint8 RGB (f, h, w, 3), or as many pictures of one size.
            source_fps: their rate, in frames a second.
            progress: told of every evaluation of a window's tile.
            generator: its initial seed takes the place of `seed`.
            output_type: "np", "pt" or "pil", for a `VEnhancerOutput`; left out, uint8 RGB (f2, h2, w2, 3) comes back.
            callback_on_step_end: called with the pipeline, the number of an evaluation of a segment, its timestep and
                {"latents": x0}; may return other latents under that name, or raise to stop.
            settings: fields of `EnhanceSettings`, such as scale=4, fps=24, prompt="...".

        Raises:
            SettingsError: the settings cannot be met for these frames and this model.
        """
        if output_type not in (None, "np", "pt", "pil"):
            raise SettingsError(f"output_type {output_type} is unknown; pass np, pt or pil, or leave it out")
        clip = (
            frames if isinstance(frames, np.ndarray) else np.stack([np.asarray(one.convert("RGB")) for one in frames])
        )
        if generator is not None:
            settings["seed"] = generator.initial_seed()

        def on_step(number: int, timestep: float, latents: torch.Tensor) -> torch.Tensor:
            assert callback_on_step_end is not None
            changed = callback_on_step_end(self, number, timestep, {"latents": latents})
            return (changed or {}).get("latents", latents)

        pipeline: Any = self  # this is a part of one
        request = parse_settings(**settings)
        count, height, width, _ = clip.shape
        found = look_through_frames(clip) if request.looks_through else Findings()
        cuts = found.cuts if request.looks_for_cuts else ()
        described = describe_frames(count, height, width, parse_ratio(source_fps))
        plan = make_plan(
            described, request, pipeline.traits, cuts=cuts, cadence=found.cadence, machine=pipeline.machine
        )
        told: dict[str, Any] = {"progress": progress, "on_step": on_step if callback_on_step_end else None}
        result = np.stack(list(pipeline.enhance(plan, lambda inputs: (clip[index] for index in inputs), **told)))
        return result if output_type is None else VEnhancerOutput(frames=as_type(result, output_type))


def as_type(frames: Clip, output_type: str) -> Any:  # noqa: ANN401 - as it says
    """Return a clip as diffusers gives one."""
    if output_type == "pil":
        return [[Image.fromarray(frame) for frame in frames]]
    floats = frames[None].astype(np.float32) / 255
    return floats if output_type == "np" else torch.from_numpy(floats).movedim(-1, 2)
