"""Pictures that move by known amounts."""

import torch


def drifting(frames: int, *, speed: float = 2.0, side: int = 64) -> torch.Tensor:
    """Return `f 3 h w` in [-1, 1]: a smooth texture that moves right by `speed` pixels a frame."""
    x = torch.arange(side)[None, None, :] - speed * torch.arange(frames)[:, None, None]
    y = torch.arange(side)[None, :, None].expand(frames, -1, side)
    waves = torch.sin(x / 3.1) + torch.sin((x + 2 * y) / 4.7) + torch.cos((3 * x - y) / 6.3)
    return (waves / 3)[:, None].expand(-1, 3, -1, -1).contiguous()
