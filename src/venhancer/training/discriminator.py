"""A small critic of latents, for students of few steps: is a clip sharp in the way real ones are?

It judges patches and learns beside the student. Both losses belong to one sum and one optimiser: the critic's weights
are held fixed in the student's, and the student's latents in the critic's.
"""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

WIDTH = 64


class LatentDiscriminator(nn.Module):
    """Convolutions over latents beside what they start from; every few latents get a score, positive for real.

    Args:
        channels: of the latents.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(2 * channels, WIDTH, (1, 3, 3), padding=(0, 1, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv3d(WIDTH, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv3d(WIDTH, 2 * WIDTH, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv3d(2 * WIDTH, 1, 1),
        )

    def forward(
        self, latents: Float[Tensor, "b c f h w"], start: Float[Tensor, "b c f h w"]
    ) -> Float[Tensor, "b 1 f h2 w2"]:
        """Return the scores of latents that were made from `start`."""
        return self.layers(torch.cat([latents, start], dim=1))

    def losses(
        self, made: Float[Tensor, "b c f h w"], real: Float[Tensor, "b c f h w"], start: Float[Tensor, "b c f h w"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the student's loss and the critic's (hinge; Lim and Ye 2017)."""
        fixed = {name: parameter.detach() for name, parameter in self.named_parameters()}
        student = -cast("Tensor", functional_call(self, fixed, (made, start))).mean()
        critic = F.relu(1 - self(real, start)).mean() + F.relu(1 + self(made.detach(), start)).mean()
        return student, critic
