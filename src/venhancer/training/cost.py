"""What a run will cost, before anything is loaded: parameters, floating-point operations, bytes and samples.

FLOPs are those of `venhancer.planning.estimate`, forwards and backwards of both networks over clips of the most
frames; the autoencoder, the text encoder and losses in pixels are not counted. Activations are an estimate from what
the blocks keep for the backward pass; the rest of the memory is exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from venhancer.model_files.network_shape import Grid, NetworkShape
from venhancer.model_files.traits import load_traits
from venhancer.models import VideoControlNet, VideoUNet
from venhancer.planning.estimate import CONTROL, DECODER, ENCODER, network_flops
from venhancer.training.settings import TrainSettings
from venhancer.training.start import TEXT_WINDOW, check_crop, new_shape, new_text_encoder, precision_of

# Bytes a block keeps for each of its output's values: measured, in float32 and in mixed precision.
_BYTES_OF_RES_BLOCK = {"no": 68, "bf16": 42}
_BYTES_OF_TRANSFORMERS = {"no": 273, "bf16": 144}  # spatial and temporal together


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """The cost of a run.

    Args:
        trained: parameters that learn, by network.
        frozen: parameters that do not; "others" are those of the autoencoder and, where it is frozen, the text encoder.
        step_flops: of the networks in one step, over all processes.
        memory: bytes by what they hold, of one process that shares nothing out.
        settings: of the run.
    """

    trained: dict[str, int]
    frozen: dict[str, int]
    step_flops: int
    memory: dict[str, int]
    settings: TrainSettings

    def describe(self, tflops: float | None = None) -> Iterator[tuple[str, str]]:
        """Yield labels and values for people.

        Args:
            tflops: the rate of all processes together, for the time.
        """
        settings = self.settings
        clips = settings.steps * settings.batch_size
        micro = settings.batch_size // settings.groups
        yield "trained", _parameters(self.trained)
        yield "frozen", _parameters(self.frozen)
        yield "steps", f"{settings.steps:,} of {settings.batch_size} clips ({settings.groups} x {micro})"
        height, width = settings.crop
        yield "samples seen", f"{clips:,} clips of up to {settings.frames} frames of {width}x{height}"
        yield "FLOPs a step", f"{self.step_flops / 1e12:,.4g} T"
        yield "total FLOPs", f"{self.step_flops * settings.steps / 1e15:,.4g} P"
        yield "mixed precision", precision_of(settings)
        yield "memory (estimate)", ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in self.memory.items())
        yield "in all", f"{sum(self.memory.values()) / 1e9:.2f} GB a process"
        if settings.shard:
            yield "shared out", "everything but activations, across processes"
        if tflops is not None:
            seconds = self.step_flops / (tflops * 1e12)
            hours = seconds * settings.steps / 3600
            yield f"at {tflops:g} TFLOP/s", f"{seconds:,.3g} s a step, {hours:,.4g} hours in total"


def run_cost(settings: TrainSettings) -> RunCost:
    """Return what a run will cost.

    Raises:
        SettingsError: the crop does not fit the model, or the model is unknown.
    """
    check_crop(settings)
    if settings.start_from is None:
        shape, pixels, tokens = new_shape(settings.network), settings.network.patch, TEXT_WINDOW
    else:
        traits = load_traits(str(settings.start_from))
        shape, pixels, tokens = traits.network, traits.pixels_per_latent, traits.text_tokens
    trained, frozen = _count_parameters(settings, shape)
    grid = Grid(settings.frames, settings.crop[0] // pixels, settings.crop[1] // pixels)
    flops = network_flops(shape, *grid, tokens).by_part
    passes = _passes(settings)
    learning, whole = sum(trained.values()), sum(trained.values()) + sum(frozen.values())
    micro = settings.batch_size // settings.groups
    return RunCost(
        trained=trained,
        frozen=frozen,
        step_flops=round(settings.batch_size * sum(flops[part] * passes[part] for part in flops)),
        memory={
            "weights": 4 * whole,
            "gradients": 4 * learning,
            "moments": 2 * settings.adam_bits // 8 * learning,
            "average": 4 * learning,
            "activations": micro * _activation_bytes(settings, shape, grid, passes),
        },
        settings=settings,
    )


def _count_parameters(settings: TrainSettings, shape: NetworkShape) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many parameters learn and how many do not, by network; nothing is allocated."""
    with torch.device("meta"):
        unet, controlnet = VideoUNet(**shape.arguments()), VideoControlNet.from_shape(shape)
        text_encoder = new_text_encoder(settings.network) if settings.start_from is None else None
    networks: dict[str, nn.Module] = {"unet": unet, "controlnet": controlnet}
    counts = {name: sum(parameter.numel() for parameter in each.parameters()) for name, each in networks.items()}
    learns = {"unet": settings.train in ("unet", "all"), "controlnet": settings.train in ("controlnet", "all")}
    trained = {name: count for name, count in counts.items() if learns[name]}
    frozen = {name: count for name, count in counts.items() if not learns[name]}
    if settings.train == "lora":
        trained = {f"adapters of {name}": _count_adapters(settings, networks[name]) for name in settings.lora.networks}
    text_and_others = trained if settings.learns_text else frozen
    if text_encoder is not None:
        text_and_others["text_encoder"] = sum(parameter.numel() for parameter in text_encoder.parameters())
    else:
        text_and_others["others"] = load_traits(str(settings.start_from)).companion_parameters
    return trained, frozen


def _count_adapters(settings: TrainSettings, network: nn.Module) -> int:
    return sum(
        settings.lora.rank * (layer.in_features + layer.out_features)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and name.rpartition(".")[2] in settings.lora.layers
    )


def _passes(settings: TrainSettings) -> dict[str, int]:
    """Return how often each part of the networks is run through: forwards, for its inputs, for its own weights.

    Nothing behind the base network's decoder is reached through frozen weights unless something there learns.
    """
    adapted = settings.lora.networks if settings.train == "lora" else ()
    whole_unet, whole_control = settings.train in ("unet", "all"), settings.train in ("controlnet", "all")
    passes = {
        CONTROL: 3 if whole_control else 2 if "controlnet" in adapted else 1,
        ENCODER: 3 if whole_unet else 2 if "unet" in adapted else 1,
        DECODER: 3 if whole_unet else 2,
    }
    again = 1 if settings.gradient_checkpointing else 0
    return {part: count + again * (count > 1) for part, count in passes.items()}


def _activation_bytes(settings: TrainSettings, shape: NetworkShape, grid: Grid, passes: dict[str, int]) -> int:
    """Return what a clip's forward keeps for the backward pass, of the parts that one goes through."""
    ways = {CONTROL: [*shape.control.way_down()], ENCODER: [*shape.way_down()], DECODER: [*shape.way_up()]}
    total, largest, precision = 0, 0, precision_of(settings)
    for part, block in ((part, block) for part, blocks in ways.items() for block in blocks):
        if passes[part] == 1 or block.kind not in ("stage", "middle"):
            continue
        tokens, res_blocks = grid.at(block.level).tokens, 2 if block.kind == "middle" else 1
        transformers = _BYTES_OF_TRANSFORMERS[precision] if block.attention else 0
        own = tokens * block.leaving * (res_blocks * _BYTES_OF_RES_BLOCK[precision] + transformers)
        total += 4 * tokens * block.entering if settings.gradient_checkpointing else own
        largest = max(largest, own)
    return total + (largest if settings.gradient_checkpointing else 0)


def _parameters(counts: dict[str, int]) -> str:
    by_network = ", ".join(f"{name} {count / 1e6:,.2f} M" for name, count in counts.items())
    return f"{sum(counts.values()) / 1e6:,.2f} M parameters ({by_network})" if counts else "nothing"
