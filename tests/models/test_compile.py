"""The repeated blocks compile whole; run in processes of their own, since type checking and tracing do not mix."""

import os
import subprocess
import sys
from shutil import which

import pytest

SHAPES = """
import torch
from venhancer.models import VideoUNet
from venhancer.models.compiling import compile_blocks

torch.manual_seed(0)
shape = dict(base_channels=16, channel_mults=(1, 2), blocks_per_level=1, attention_levels=(True, False), head_dim=8,
             text_dim=12, entry_heads=2, norm_groups=8)
unet = VideoUNet(**shape).eval()
for parameter in unet.parameters():
    torch.nn.init.normal_(parameter, std=0.1)
latents, timesteps, embeds = torch.randn(1, 4, 3, 10, 8), torch.tensor([500]), torch.randn(1, 7, 12)
"""
WHOLE = """
with torch.no_grad():
    text = unet.project_text(embeds)
    plain = unet(latents, timesteps, text)
    unet.compile_repeated_blocks(fullgraph=True, backend="eager")
    compiled = unet(latents, timesteps, text)
torch.testing.assert_close(plain, compiled)
print("whole")
"""
REAL = """
from torch._dynamo.utils import counters

stage = unet.encoder.stages[0]
with torch.inference_mode():
    text = unet.project_text(embeds)
    context = unet.encoder.context(unet.encoder.embed_number(timesteps).repeat(3, 1), text, 3, None)
    x = torch.randn(3, 16, 10, 8).contiguous(memory_format=torch.channels_last)
    plain = stage(x, context)
    compile_blocks(unet, compiled=True)
    compiled = [stage(x, context), stage(x + 0, context)]
    graphs = counters["stats"]["unique_graphs"]
    compile_blocks(unet, compiled=False)
    undone = stage(x, context)
torch.testing.assert_close([plain] * 2, compiled)
print(len(stage), graphs, torch.equal(plain, undone))
"""


OTHERS = """
unet.compile_repeated_blocks(backend="eager")
compile_blocks(unet, compiled=False)
compile_blocks(unet, compiled=True)
compile_blocks(unet, compiled=False)
print(all(block._compiled_call_impl is not None for block in unet.encoder.stages[0]))
"""


def said(program: str) -> str:
    """Return what a program prints."""
    here = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # no pool of processes for three blocks
    result = subprocess.run(
        [sys.executable, "-c", SHAPES + program], capture_output=True, text=True, check=False, env=here
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


def test_repeated_blocks_compile_without_graph_breaks():
    assert said(WHOLE) == "whole"


def test_blocks_that_a_caller_compiled_stay_so():
    assert said(OTHERS) == "True"


@pytest.mark.skipif(which("g++") is None and which("clang++") is None, reason="no C++ compiler to compile with")
def test_a_stage_becomes_one_graph_a_block_and_can_be_as_it_was():
    """By the compiler itself, on the processor; calls of the same shape share what was compiled."""
    assert said(REAL) == "3 3 True"
