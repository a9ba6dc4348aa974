"""What a run leaves: a pipeline folder with the averaged weights, and the adapters of a LoRA run as a small file."""

import json
import shutil
from pathlib import Path

from torch import Tensor

from venhancer.durable import written_whole
from venhancer.errors import JobFailed
from venhancer.pipeline import VEnhancerPipeline
from venhancer.training.lora import save_adapters
from venhancer.training.settings import TrainSettings
from venhancer.training.start import start_pipeline

ADAPTERS = "adapters.safetensors"


def export(settings: TrainSettings, weights: dict[str, Tensor]) -> Path:
    """Write the trained pipeline into the run's folder and return where it is; it appears whole or not at all.

    `weights` are those that learnt, by component and name; the others are what the run began with.

    Raises:
        JobFailed: it cannot be written; the checkpoints stay.
    """
    pipeline = start_pipeline(settings)
    folder = settings.output / "pipeline"
    try:
        if settings.train == "lora":
            save_adapters(weights, settings, pipeline, settings.output / ADAPTERS)
        else:
            load_weights(pipeline, weights)
        write_pipeline(pipeline, folder)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise JobFailed(
            f"{folder} could not be written ({reason}); free some space and run the command again"
        ) from error
    return folder


def load_weights(pipeline: VEnhancerPipeline, weights: dict[str, Tensor]) -> None:
    """Put weights named like "unet.conv_out.bias" into a pipeline's networks."""
    for component in ("unet", "controlnet", "text_encoder", "motion"):
        prefix = f"{component}."
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if own:
            getattr(pipeline, component).load_state_dict(own, strict=False)


def write_pipeline(pipeline: VEnhancerPipeline, folder: Path) -> None:
    """Write a pipeline's folder, half precision and free of where it was made."""
    for network in pipeline.networks.values():
        network.half()
    with written_whole(folder) as partial:
        pipeline.save_pretrained(partial)
        for file in partial.rglob("*.json"):
            content = json.loads(file.read_text())
            for origin in ("_name_or_path", "_adapter"):
                content.pop(origin, None)
            file.write_text(json.dumps(content, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
