"""The nodes: a model, a video into a video, images into images. The work is venhancer's.

A video goes from file to file in segments, so memory does not grow with it, and its sound is kept. Its unfinished work
lies beside the target, which is named after all that the result depends on: after an interrupt, the same node goes on.
"""

import hashlib
import json
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import numpy as np
import torch
from PIL import Image

from venhancer.enhance import enhance_as_planned, plan_video
from venhancer.jobs.origin import fingerprint
from venhancer.model_files.folders import PUBLISHED
from venhancer.pipeline import VEnhancerPipeline
from venhancer.weights import load_pipeline

from .inputs import read_settings, setting_inputs

try:
    from comfy_api.v0_0_2 import ComfyExtension, InputImpl, io
except ModuleNotFoundError:  # older servers name no versions
    from comfy_api.latest import ComfyExtension, InputImpl, io

Model = io.Custom("VENHANCER_MODEL")
PREVIEW_EVERY, PREVIEW_WIDTH = 8, 512


class LoadModel(io.ComfyNode):
    """A model, ready to enhance."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return what the node takes and gives."""
        return io.Schema(
            node_id="VEnhancerLoadModel",
            display_name="Load VEnhancer model",
            category="video/enhance",
            description="nano is embedded; v1 and v2 are downloaded once by `venhancer weights`.",
            inputs=[
                io.Combo.Input("model", options=["nano", *PUBLISHED], default="nano"),
                io.String.Input("folder", default="", optional=True, advanced=True, tooltip="A model folder instead."),
                io.Combo.Input("dtype", options=["auto", "bf16", "fp16", "fp32"], default="auto", advanced=True),
            ],
            outputs=[Model.Output(display_name="model")],
        )

    @classmethod
    def execute(cls, model: str, dtype: str = "auto", folder: str = "") -> io.NodeOutput:
        """Load the model where ComfyUI computes."""
        device = comfy.model_management.get_torch_device()
        return io.NodeOutput(load_pipeline(folder.strip() or model, device=str(device), dtype=dtype))


class EnhanceVideo(io.ComfyNode):
    """A video file into an enhanced one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return what the node takes and gives."""
        return io.Schema(
            node_id="VEnhancerEnhanceVideo",
            display_name="Enhance video",
            category="video/enhance",
            description="Exact size and rate, sound kept, memory that does not grow; goes on after an interrupt.",
            inputs=[Model.Input("model"), io.Video.Input("video"), *setting_inputs(io)],
            outputs=[io.Video.Output(display_name="video")],
        )

    @classmethod
    def execute(cls, model: VEnhancerPipeline, video: Any, **given: Any) -> io.NodeOutput:  # noqa: ANN401
        """Enhance the video, or go on where an interrupt stopped."""
        settings = read_settings(given).model_copy(update={"model": model.traits.name})
        folder = Path(folder_paths.get_output_directory()) / "venhancer"
        folder.mkdir(parents=True, exist_ok=True)
        source = _source_of(video, folder)
        depends = [fingerprint(source), settings.model_dump(mode="json", exclude={"model"}), model.fingerprint()]
        name = hashlib.blake2b(json.dumps(depends).encode(), digest_size=8).hexdigest()
        target = folder / f"{source.stem[:60]}_{name}.mp4"
        if not target.exists():  # or it was made before, of just this
            progress = Watch()
            plan = plan_video(source, settings, target, machine=model.machine, traits=model.traits, progress=progress)
            enhance_as_planned(plan, target, model, show=progress.show, progress=progress)
        return io.NodeOutput(InputImpl.VideoFromFile(str(target)))


class EnhanceImages(io.ComfyNode):
    """A batch of images, taken for a clip, into an enhanced one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return what the node takes and gives."""
        return io.Schema(
            node_id="VEnhancerEnhanceImages",
            display_name="Enhance images as video",
            category="video/enhance",
            description="All frames are in memory, before and after; for long clips take Enhance video.",
            inputs=[
                Model.Input("model"),
                io.Image.Input("images"),
                io.Float.Input("source_fps", default=8.0, min=0.1, max=480.0, step=0.001, tooltip="Their rate."),
                *setting_inputs(io, of_images=True),
            ],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(
        cls,
        model: VEnhancerPipeline,
        images: torch.Tensor,
        source_fps: float,
        **given: Any,  # noqa: ANN401
    ) -> io.NodeOutput:
        """Enhance the images."""
        settings = read_settings(given).model_dump(exclude_unset=True)
        frames = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        rate = Fraction(source_fps).limit_denominator(1001)
        enhanced = model(frames, source_fps=rate, progress=Watch(), **settings)
        return io.NodeOutput(torch.from_numpy(enhanced.astype(np.float32) / 255))


class Watch:
    """Progress as ComfyUI shows it, with the newest frame; every step can be interrupted."""

    def __init__(self) -> None:
        self.bar, self.done, self.total, self.frames = comfy.utils.ProgressBar(1), 0, 1, 0
        self.picture: Image.Image | None = None

    def start(self, total: int, what: str) -> None:  # noqa: ARG002 - ComfyUI shows the node's name
        """Begin a stage of `total` steps."""
        self.done, self.total = 0, max(1, total)

    def advance(self) -> None:
        """Mark one step as done.

        Raises:
            InterruptProcessingException: somebody pressed stop.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.done += 1
        self._tell()

    def show(self, frame: np.ndarray) -> None:
        """Take in an output frame.

        Raises:
            InterruptProcessingException: somebody pressed stop.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        if self.frames % PREVIEW_EVERY == 0:
            levels = frame if frame.dtype == np.uint8 else (frame >> 8).astype(np.uint8)
            self.picture = Image.fromarray(np.ascontiguousarray(levels))
            self._tell()
        self.frames += 1

    def _tell(self) -> None:
        preview = None if self.picture is None else ("JPEG", self.picture, PREVIEW_WIDTH)
        self.bar.update_absolute(min(self.done, self.total), self.total, preview)


def _source_of(video: Any, folder: Path) -> Path:  # noqa: ANN401 - ComfyUI's VideoInput
    """Return the file behind a video; one that is in memory only is written down, named by its content."""
    stream = video.get_stream_source()
    if not isinstance(stream, BytesIO):
        return Path(stream)
    content = stream.getvalue()
    path = folder / f"input_{hashlib.blake2b(content, digest_size=8).hexdigest()}.mp4"
    if not path.exists():
        path.write_bytes(content)
    return path


class Extension(ComfyExtension):
    """All nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes."""
        return [LoadModel, EnhanceVideo, EnhanceImages]


async def comfy_entrypoint() -> Extension:
    """Return the extension; ComfyUI calls it."""
    return Extension()
