"""Compiled blocks: the parts that a network repeats, each as one graph, instead of the network as a whole.

Minutes of compiling become seconds, for about the same speed; what was compiled once is found again on the disk.
"""

import torch

from venhancer.models.unet import VideoNetwork

MOST_GRAPHS = 256
"""Of one class of blocks: shapes of levels, windows and prompts; torch gives up after eight."""


MARK = "is_compiled_on_request"
"""Attribute of the blocks compiled here, so that those that training or a caller compiled stay as they are."""


def compile_blocks(network: VideoNetwork, *, compiled: bool) -> None:
    """Make a network compile its blocks when they are first called, or call those compiled so before as they are."""
    if compiled:
        torch._dynamo.config.recompile_limit = MOST_GRAPHS
    for module in network.modules():
        if type(module).__name__ not in network._repeated_blocks:
            continue
        if compiled and module._compiled_call_impl is None:
            module.compile(dynamic=False, fullgraph=True)
            setattr(module, MARK, True)
        elif not compiled and getattr(module, MARK, False):
            module._compiled_call_impl = None
            delattr(module, MARK)
