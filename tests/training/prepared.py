"""A tiny folder of prepared clips and the settings of a run over it."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from venhancer.training.data.manifest import MANIFEST, ClipEntry, write_manifest
from venhancer.training.settings import TrainSettings


def make_clips(folder: Path, count: int = 3, frames: int = 12, side: int = 48) -> Path:
    """Write smooth moving clips with a manifest, the last of them held out."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(count):
        file = f"clip_{number}.npy"
        np.save(folder / file, moving_pattern(frames, side, number))
        split = "held_out" if number == count - 1 else "train"
        entries.append(
            ClipEntry(path=file, frames=frames, rate=24, height=side, width=side, caption="waves", split=split)
        )
    write_manifest(folder / MANIFEST, entries)
    return folder


def moving_pattern(frames: int, side: int, phase: int) -> NDArray[np.uint8]:
    """Return waves that travel."""
    f, y, x, c = np.meshgrid(np.arange(frames), np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    return (127 + 90 * np.sin((x + 2 * f + phase * 5) / 4 + c) * np.cos((y - f) / 6)).astype(np.uint8)


def tiny_settings(folder: Path, **changes: object) -> TrainSettings:
    """Return settings whose run takes seconds."""
    fields = {
        "output": folder / "run",
        "data": folder / "clips",
        "train": "all",
        "between": "blend",
        "network": {
            "latent_channels": 8,
            "base_channels": 16,
            "channel_mults": (1, 2),
            "attention_levels": (False, True),
            "head_dim": 8,
            "text_dim": 16,
            "text_layers": 1,
            "entry_heads": 1,
            "norm_groups": 8,
        },
        "augment": {"degraded_share": 0.5, "unstable_share": 0.5, "low_quality_share": 0.3},
        "objective": {"finishing_share": 0.5, "frame_difference_weight": 0.5},
        "crop": (40, 32),
        "frames": 5,
        "steps": 6,
        "learning_rate": 1e-3,
        "workers": 0,
        "checkpoint_every": 100,
        "log_every": 1,
        "log": {"validation_every": 0, "pictures_every": 0},
    }
    if changes.get("start_from") is not None:
        del fields["network"]
    return TrainSettings.model_validate(fields | changes)


def weights_of(pipeline: Path) -> dict[str, torch.Tensor]:
    """Return all weights of a pipeline folder."""
    files = sorted(pipeline.rglob("*.safetensors"))
    return {f"{file.parent.name}.{key}": value for file in files for key, value in load_file(file).items()}
