"""What a run will cost, before anything is loaded: parameters, floating-point operations, bytes and samples.

FLOPs are those of `venhancer.planning.estimate`, forwards and backwards of both networks over clips of the most
frames, and forwards alone where a teacher or earlier sampling steps need them; the autoencoder, the text encoder and
losses in pixels are not counted. Activations are an estimate from what the blocks, and the decoder of finished frames,
keep for the backward pass; the rest of the memory is exact. Of a motion network both are counted on a forward
without values.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from venhancer.model_files.network_shape import Grid, NetworkShape
from venhancer.model_files.traits import load_traits
from venhancer.models import MotionNetwork, VideoControlNet, VideoUNet
from venhancer.models.motion import QUARTER
from venhancer.planning.devices import DEVICES
from venhancer.planning.estimate import CONTROL, DECODER, ENCODER, network_flops
from venhancer.training.lora import ENDS
from venhancer.training.settings import TrainSettings
from venhancer.training.start import TEXT_WINDOW, check_crop, new_shape, new_text_encoder, precision_of

# Bytes a block keeps for each of its output's values: measured, in float32 and in mixed precision.
_BYTES_OF_RES_BLOCK = {"no": 68, "bf16": 42}
_BYTES_OF_TRANSFORMERS = {"no": 273, "bf16": 144}  # spatial and temporal together
_VALUES_OF_DECODER = 22  # kept a pixel, in widths of its widest features at full size: inputs of norms and convolutions
_BYTES_OF_DECODER = {"no": 4, "bf16": 3}  # of each; norms keep 32 bits
_DEVICE = "a100"


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
        device = DEVICES[_DEVICE]
        number_format = {"no": "fp32", "bf16": "bf16"}[precision_of(settings)]
        hours = device.time(self.step_flops * settings.steps, 0, number_format) / 3600
        yield "GPU hours (predicted)", f"{hours:,.3g} ({device.title}, {number_format})"
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
    if settings.train == "motion":
        clip_flops, activations = _motion_cost(settings)
    else:
        flops, passes = network_flops(shape, *grid, tokens).by_part, _passes(settings)
        clip_flops = sum(flops[part] * (passes[part] + _silent_forwards(settings)) for part in flops)
        activations = _activation_bytes(settings, shape, grid, passes)
    learning, whole = sum(trained.values()), sum(trained.values()) + sum(frozen.values())
    micro = settings.batch_size // settings.groups
    return RunCost(
        trained=trained,
        frozen=frozen,
        step_flops=round(settings.batch_size * clip_flops),
        memory={
            "weights": 4 * whole,
            "gradients": 4 * learning,
            "moments": 2 * settings.adam_bits // 8 * learning,
            "average": 4 * learning,
            "activations": micro * activations,
            **({"decoder": micro * decoder} if (decoder := _decoder_bytes(settings)) else {}),
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
        if settings.lora.guidance_input:
            unet.take_guidance()
            assert unet.guidance_embed is not None
            trained["guidance input"] = sum(parameter.numel() for parameter in unet.guidance_embed.parameters())
    if settings.train == "motion":
        with torch.device("meta"):
            motion = MotionNetwork(**settings.motion.model_dump())
        trained = {"motion": sum(parameter.numel() for parameter in motion.parameters())}
    text_and_others = trained if settings.learns_text else frozen
    if text_encoder is not None:
        text_and_others["text_encoder"] = sum(parameter.numel() for parameter in text_encoder.parameters())
    else:
        text_and_others["others"] = load_traits(str(settings.start_from)).companion_parameters
    return trained, frozen


def _count_adapters(settings: TrainSettings, network: nn.Module) -> int:
    """Return how many values the pairs of a network have: the first has a layer's inputs, the second its outputs."""
    return sum(
        settings.lora.rank * (layer.weight[0].numel() + len(layer.weight))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
        and name.rpartition(".")[2] in settings.lora.layers
        and not re.fullmatch(ENDS, name)
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


def _motion_cost(settings: TrainSettings) -> tuple[int, int]:
    """Return the FLOPs of a clip in a step that trains motion, and the bytes that its forward keeps."""
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += 0 if isinstance(tensor, nn.Parameter) else tensor.nbytes
        return tensor

    size = (1, 3, *(side // QUARTER for side in settings.crop))
    with torch.device("meta"):
        network, picture = MotionNetwork(**settings.motion.model_dump()), torch.empty(size)
        with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
            network(network.features(picture), network.features(picture), torch.full((1,), 0.5))
    return 3 * counter.get_total_flops(), kept


def _silent_forwards(settings: TrainSettings) -> float:
    """Return how many forwards of both networks a step takes on average whose activations nobody keeps."""
    objective, share = settings.objective, settings.objective.finishing_share
    forwards = share * (objective.finishing_steps - 1)
    if objective.finishing_target == "teacher":
        teacher = load_traits(str(settings.start_from)).defaults
        forwards += share * teacher.steps * (1 if teacher.guidance_scale == 1 else 2)
    return forwards + (0 if objective.guidance_range is None else 2 * (1 - share))


def _decoder_bytes(settings: TrainSettings) -> int:
    """Return what decoding the frames of a clip keeps for the backward pass; a linear autoencoder keeps nothing."""
    objective = settings.objective
    if settings.start_from is None or not objective.finishing_share:
        return 0
    traits = load_traits(str(settings.start_from))
    frames = min(settings.frames, objective.finishing_frames or settings.frames)
    along_time = 1 if traits.decode_window == 1 else 2  # blocks over time double what is kept
    values = _VALUES_OF_DECODER * traits.autoencoder_width * along_time
    return frames * math.prod(settings.crop) * values * _BYTES_OF_DECODER[precision_of(settings)]


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
