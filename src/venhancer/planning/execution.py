"""The ways of working that change no picture, and how much longer the work takes by each.

Attention whole or in slices, both prompts together or one after the other, a few frames through the autoencoder at
once, and the weights on the device or waiting in main memory. `venhancer.planning.memory` weighs them against windows
and tiles, which do change it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from venhancer.errors import SettingsError
from venhancer.model_files.traits import ModelTraits
from venhancer.planning.estimate import Estimate
from venhancer.settings import EnhanceSettings, Offload

OFFLOADS: tuple[Offload, ...] = ("none", "components", "groups")
SLICE_TOKENS = 8192
CODED_FRAMES = 4
"""Frames that an autoencoder of single frames takes at once, where there is room."""
ITEMS_A_DEVICE = 2
"""Parts of the work that are in progress, or wait for their turn, for each of several devices."""
SLICED_COST = 1.03  # how much longer the work takes so
MOVED_COST = 10_000  # FLOPs in the time that a byte takes between memories: 100 TFLOP/s and 10 GB/s, assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How the work is carried out: it costs time or memory and changes no picture.

    Args:
        slice_tokens: most tokens that attention and feed-forward hold at once, in whole frames; None means all.
        batches_guidance: whether both prompts go through the networks together.
        coded_frames: frames that the autoencoder takes at once, where each is coded by itself.
        offload: which weights wait in main memory until the device needs them.
    """

    slice_tokens: int | None = None
    batches_guidance: bool = True
    coded_frames: int = 1
    offload: Offload = "none"


def executions(settings: EnhanceSettings, *, is_guided: bool, has_own_memory: bool) -> Iterator[Execution]:
    """Yield the ways of working to choose from; of those that take as long, what needs more memory comes first.

    Args:
        settings: the request.
        is_guided: whether any evaluation takes two prompts.
        has_own_memory: whether weights can wait elsewhere, see `Machine`. On a processor, frames are coded one by one:
            together they take as long.

    Raises:
        SettingsError: offload was requested where weights are in main memory anyway, or groups of compiled blocks.
    """
    if settings.offload in OFFLOADS[1:] and not has_own_memory:
        raise SettingsError(
            f"offload {settings.offload} is for a GPU with memory of its own; here, weights are in main memory anyway: "
            f"pass --offload auto or none"
        )
    if settings.compile and settings.offload == "groups":
        raise SettingsError("offload groups moves single blocks, which compile cannot; omit --compile or --offload")
    possible = OFFLOADS[:2] if settings.compile else OFFLOADS
    offloads = (settings.offload,) if settings.offload != "auto" else possible if has_own_memory else OFFLOADS[:1]
    batches = (True, False) if is_guided else (True,)
    coded_frames = (CODED_FRAMES, 1) if has_own_memory else (1,)
    for offload, batched, sliced, coded in product(offloads, batches, (None, SLICE_TOKENS), coded_frames):
        yield Execution(slice_tokens=sliced, batches_guidance=batched, coded_frames=coded, offload=offload)


def moved_bytes(
    traits: ModelTraits, execution: Execution, value_bytes: int, *, evaluations: int, guided_evaluations: int
) -> int:
    """Return what of the networks' weights goes to the device and back.

    Args:
        traits: of the model.
        execution: how the work is carried out.
        value_bytes: bytes of a network's value.
        evaluations: of all windows' tiles.
        guided_evaluations: how many of them take two prompts.
    """
    if execution.offload == "none":
        return 0
    forwards = evaluations + (0 if execution.batches_guidance else guided_evaluations)
    return 2 * value_bytes * traits.parameters * forwards


def duration(estimate: Estimate, execution: Execution) -> float:
    """Return the cost of the work to compare with other ways: computation and transfers, in FLOPs."""
    computed = estimate.network_flops * (SLICED_COST if execution.slice_tokens else 1)
    return computed + MOVED_COST * estimate.moved_bytes
