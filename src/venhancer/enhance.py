"""A video file in, an enhanced video file out: the page to read first.

Everything is decided in the plan; the pipeline turns frames into frames, a segment at a time; media reads and writes.
Either the whole result appears at `target` or nothing does.
"""

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from venhancer.media.clip import ClipInfo
from venhancer.media.encoders import Encoding, choose_encoding
from venhancer.media.isolation import inspect
from venhancer.media.reader import Frame, read_frames
from venhancer.media.sound import audio_plan
from venhancer.media.writer import Writing, check_target, write_video
from venhancer.plan import EnhancePlan, make_plan
from venhancer.progress import SILENT, Progress
from venhancer.settings import EnhanceSettings
from venhancer.traits import load_traits

if TYPE_CHECKING:
    import venhancer.pipeline  # named, not loaded: planning must not wait for torch

PACKAGES = ("venhancer", "torch", "diffusers", "transformers", "av")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhanceReport:
    """What was done.

    Args:
        plan: what was planned, which is what was done.
        target: the file written.
        seconds: it took, reading and writing included.
        device: it ran on, as torch names it.
        dtype: number format of the networks.
    """

    plan: EnhancePlan
    target: Path
    seconds: float
    device: str
    dtype: str

    def to_json(self) -> Mapping[str, object]:
        """Return the report as JSON values: plan, timing, versions."""
        return {
            "target": str(self.target),
            "plan": self.plan.to_json(),
            "seconds": round(self.seconds, 2),
            "seconds_per_frame": round(self.seconds / self.plan.frames, 3),
            "device": self.device,
            "dtype": self.dtype,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        }

    def save(self, path: Path) -> Path:
        """Write the report as JSON."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        return path


def plan_video(source: Path, settings: EnhanceSettings) -> EnhancePlan:
    """Return what `enhance_video` would do; loads no model.

    Raises:
        InputError: the clip cannot be used.
        SettingsError: the settings cannot be met for this clip and model.
        WeightsError: the model is not there.
    """
    return make_plan(inspect(source), settings, load_traits(settings.model))


def enhance_video(
    source: Path,
    target: Path,
    pipeline: "venhancer.pipeline.VEnhancerPipeline",
    settings: EnhanceSettings,
    *,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> EnhanceReport:
    """Enhance one video file in space and time and write the result to `target`.

    Args:
        source: any video file.
        target: .mp4, .mov or .mkv.
        pipeline: the model, loaded; `settings.model` is not looked at.
        settings: what is asked for.
        overwrite: replace `target` if it is there.
        progress: told of every evaluation of the networks.

    Raises:
        InputError: the source cannot be used, or the target cannot be written.
        SettingsError: the settings cannot be met for this clip and model.
        JobFailed: writing failed half-way; nothing is left.
    """
    check_target(target, source, codec=settings.codec, overwrite=overwrite)
    plan = make_plan(inspect(source), settings, pipeline.traits)
    return enhance_as_planned(plan, target, pipeline, progress=progress)


def enhance_as_planned(
    plan: EnhancePlan,
    target: Path,
    pipeline: "venhancer.pipeline.VEnhancerPipeline",
    *,
    progress: Progress = SILENT,
) -> EnhanceReport:
    """Carry out a plan and write the result to `target`, replacing it; see `enhance_video`."""
    started = time.monotonic()
    writing = writing_of(plan, target)
    read = partial(read_inputs, plan.clip)  # file   -> frames
    frames = pipeline.enhance(plan, read, progress=progress)  # frames -> latents -> denoised -> frames
    write_video(target, frames, writing, sound_from=plan.clip)  # frames -> file
    return EnhanceReport(
        plan=plan,
        target=target,
        seconds=time.monotonic() - started,
        device=str(pipeline.device),
        dtype=str(pipeline.unet.dtype).removeprefix("torch."),
    )


def read_inputs(clip: ClipInfo, inputs: Sequence[int]) -> Iterator[Frame]:
    """Yield the input frames of these numbers."""
    wanted = set(inputs)
    for number, frame in enumerate(read_frames(clip, inputs[0], inputs[-1] + 1), start=inputs[0]):
        if number in wanted:
            yield frame


def encoding_of(plan: EnhancePlan, target: Path) -> Encoding:
    """Return how a plan's output is compressed into `target`.

    Raises:
        InputError: the target's name is of no known kind.
        SettingsError: the target, the codec and what else is asked for do not go together, or nothing here encodes it.
    """
    settings, clip = plan.settings, plan.clip
    return choose_encoding(
        target,
        depth=clip.depth,
        codec=settings.codec,
        crf=settings.crf,
        pixel_format=settings.pix_fmt,
        encoder=settings.encoder,
    )


def writing_of(plan: EnhancePlan, target: Path) -> Writing:
    """Return how a plan's output is written: its size and rate, the input's colours, and what made it.

    Raises:
        InputError: the target's name is of no known kind.
        SettingsError: see `encoding_of`.
    """
    sampling, clip, encoding = plan.sampling, plan.clip, encoding_of(plan, target)
    made_by = (
        f"venhancer {version('venhancer')}, model {plan.traits.name}, seed {sampling.seed}, {sampling.steps} steps"
    )
    return Writing(
        width=plan.width,
        height=plan.height,
        rate=plan.rate,
        crf=encoding.crf,
        codec=encoding.codec,
        pixel_format=encoding.pixel_format,
        maker=encoding.maker,
        color_matrix=clip.color_matrix,
        full_range=clip.full_range and not clip.is_rgb,
        color_primaries=clip.color_primaries,
        color_transfer=clip.color_transfer,
        metadata={"comment": made_by},
        with_sound=plan.settings.slow == 1,
    )


def losses(plan: EnhancePlan, target: Path) -> list[str]:
    """Return, in words, what of the source the output will not carry."""
    lost, encoding = list(plan.clip.not_kept), encoding_of(plan, target)
    if encoding.depth < plan.clip.depth:
        lost.append(f"{plan.clip.depth}-bit depth, of which {encoding.codec} keeps {encoding.depth} bits here")
    if plan.clip.has_audio and plan.settings.slow != 1:
        lost.append("sound, which slow motion leaves behind")
    elif audio_plan(plan.clip, target) == "aac":
        lost.append(f"the {plan.clip.audio_codec} encoding of the sound, which {target.suffix} holds as AAC")
    return lost
