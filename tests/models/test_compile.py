"""The repeated blocks compile whole; run in a process of its own, since type checking and tracing do not mix."""

import subprocess
import sys

PROGRAM = """
import torch
from venhancer.models import VideoControlNet, VideoUNet

torch.manual_seed(0)
shape = dict(base_channels=16, channel_mults=(1, 2), blocks_per_level=1, attention_levels=(True, False), head_dim=8,
             text_dim=12, entry_heads=2, norm_groups=8)
unet = VideoUNet(**shape).eval()
for parameter in unet.parameters():
    torch.nn.init.normal_(parameter, std=0.1)
latents, timesteps, embeds = torch.randn(1, 4, 3, 10, 8), torch.tensor([500]), torch.randn(1, 7, 12)
with torch.no_grad():
    text = unet.project_text(embeds)
    plain = unet(latents, timesteps, text)
    unet.compile_repeated_blocks(fullgraph=True, backend="eager")
    compiled = unet(latents, timesteps, text)
torch.testing.assert_close(plain, compiled)
print("whole")
"""


def test_repeated_blocks_compile_without_graph_breaks():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "whole", result.stderr[-2000:]
