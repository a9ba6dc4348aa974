"""A perceptual distance to train against: VGG-16 features compared channel by channel (Zhang et al. 2018, LPIPS).

The weights are the shift-tolerant variant's, which ship inside the package `stlpips-pytorch`; only its weight file is
read. Evaluation uses another backbone (AlexNet), so that training does not optimise the very figure it is judged by.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from venhancer.model_files.folders import packaged_weights

# Convolutions of each stage by their place in the published file; a stage's last activations are compared.
_STAGES = ((0, 2), (6, 8), (12, 14, 16), (20, 22, 24))


class PerceptualDistance(nn.Module):
    """Weighted squared distance of unit-length VGG-16 features, at four depths."""

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self.register_buffer("shift", state["scaling_layer.shift"])
        self.register_buffer("scale", state["scaling_layer.scale"])
        self.stages = nn.ModuleList()
        self.channel_weights = nn.ParameterList()
        for number, places in enumerate(_STAGES):
            convs: list[nn.Module] = []
            for place in places:
                weight = state[f"net.slice{number + 1}.{place}.weight"]
                conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
                conv.load_state_dict({"weight": weight, "bias": state[f"net.slice{number + 1}.{place}.bias"]})
                convs += [conv, nn.ReLU()]
            self.stages.append(nn.Sequential(*convs))
            self.channel_weights.append(nn.Parameter(state[f"lin{number}.model.1.weight"]))
        self.requires_grad_(requires_grad=False)

    def forward(self, frames: Float[Tensor, "n 3 h w"], targets: Float[Tensor, "n 3 h w"]) -> Float[Tensor, ""]:
        """Return the mean distance between pictures in [-1, 1]."""
        distance = frames.new_zeros((), dtype=torch.float32)
        x, y = ((pictures - self.shift) / self.scale for pictures in (frames, targets))
        for number, (stage, weight) in enumerate(zip(self.stages, self.channel_weights, strict=True)):
            if number > 0:
                x, y = _pool(x), _pool(y)
            x = stage(x)
            with torch.no_grad():
                y = stage(y)
            difference = (F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)) ** 2
            distance = distance + (difference * weight).sum(dim=1).mean()
        return distance


def find_weights() -> Path:
    """Return the VGG-16 weight file that ships inside `stlpips-pytorch`.

    Raises:
        WeightsError: the package is not installed.
    """
    return packaged_weights("vgg_shift_tolerant.pth", "the perceptual loss")


def _pool(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Halve a picture without aliasing: the largest of four neighbours at every pixel, averaged, then every second."""
    x = torch.maximum(x[..., :-1], x[..., 1:])
    return F.avg_pool2d(torch.maximum(x[..., :-1, :], x[..., 1:, :]), 3, stride=2, padding=1)
