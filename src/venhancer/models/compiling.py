"""Compiled blocks: the parts that a network repeats, each as one graph, instead of the network as a whole.

Minutes of compiling become seconds, for about the same speed; what was compiled once is found again on the disk.
"""

import torch

from venhancer.models.unet import VideoNetwork

MOST_GRAPHS = 256
"""Of one class of blocks: shapes of levels, windows and prompts; torch gives up after eight."""


def compile_blocks(network: VideoNetwork, *, compiled: bool) -> None:
    """Make a network compile its blocks when they are first called, or call them as they are."""
    if compiled:
        torch._dynamo.config.recompile_limit = MOST_GRAPHS
    for module in network.modules():
        if type(module).__name__ in network._repeated_blocks:
            module._compiled_call_impl = None
            if compiled:
                module.compile(dynamic=False, fullgraph=True)
