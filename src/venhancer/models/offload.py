"""Where a model's weights are while it works: all on the device, or in main memory until they are needed.

`arrange` is called before an enhancement and `bring` before each use of a component; the models know of neither. By
"components" one whole component at a time is on the device. By "groups" the networks stay in main memory but for the
block that runs, which the hooks of diffusers' group offloading fetch and put back; this file alone knows of them.
Written for GPUs and tried on a processor, where every device is the same.
"""

from collections.abc import Iterable, Sequence

import torch
from diffusers.hooks.group_offloading import apply_group_offloading
from diffusers.hooks.hooks import HookRegistry
from torch import nn

from venhancer.models import VideoControlNet, VideoUNet
from venhancer.settings import Offload

WAITING = torch.device("cpu")
HOOK = "group_offloading"  # as diffusers names it
INSIDE = ["encoder"]  # of both networks: holds lists of blocks, and is none itself
CONSUMED = ["control_residuals", "features"]  # must reach the network as they are: it empties or fills the list


def arrange(components: Iterable[nn.Module], device: torch.device, offload: Offload) -> None:
    """Put all weights where an enhancement begins with them, wherever the one before has left them."""
    for component in components:
        if in_groups(component):
            HookRegistry.check_if_exists_or_initialize(component).remove_hook(HOOK, recurse=True)
        _move(component, device if offload == "none" else WAITING)
        if offload == "groups" and isinstance(component, VideoUNet | VideoControlNet):
            apply_group_offloading(
                component,
                onload_device=device,
                offload_device=WAITING,
                offload_type="block_level",
                num_blocks_per_group=1,
                block_modules=INSIDE,
                exclude_kwargs=CONSUMED,
            )


def bring(
    targets: Sequence[nn.Module], components: Iterable[nn.Module], device: torch.device, offload: Offload
) -> None:
    """Put some components on the device and all others back; does nothing where all are there or come by themselves."""
    if offload == "none":
        return
    for component in components:
        if not (in_groups(component) or any(component is target for target in targets)):
            _move(component, WAITING)
    for target in targets:
        if not in_groups(target):
            _move(target, device)


def in_groups(component: nn.Module) -> bool:
    """Tell whether a component's blocks come and go by themselves."""
    registry = getattr(component, "_diffusers_hook", None)
    return isinstance(registry, HookRegistry) and registry.get_hook(HOOK) is not None


@torch.inference_mode(mode=False)  # weights stay ordinary tensors, wherever they are moved from
def _move(component: nn.Module, device: torch.device) -> None:
    nn.Module.to(component, device)
