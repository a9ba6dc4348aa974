"""Group normalisation in the memory format that is there.

Before PyTorch 2.15, CUDA's kernel copies what lies channels-last first and returns it channels-first, so that the next
convolution copies it back: half of the memory traffic of a norm and its activation.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.torch_version import TorchVersion

IS_COPIED = TorchVersion(torch.__version__) < TorchVersion("2.15")
"""Whether CUDA's own kernel takes channels-first pixels only."""


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm` that leaves pixels on a GPU as they lie; training and compiled blocks use torch's own."""

    def forward(self, input: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *n"]:  # noqa: A002 - as torch's
        """Return the input, each group with mean 0 and deviation 1, scaled and shifted by channel."""
        is_eager = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        would_copy = IS_COPIED and input.is_cuda and input.ndim == 4 and not input.is_contiguous()
        if is_eager and would_copy:
            return normalise_as_it_lies(input, self.num_groups, self.weight, self.bias, self.eps)
        return super().forward(input)


def normalise_as_it_lies(
    x: Float[Tensor, "b c h w"], groups: int, weight: Float[Tensor, " c"], bias: Float[Tensor, " c"], eps: float
) -> Float[Tensor, "b c h w"]:
    """Return `torch.nn.functional.group_norm` in the memory format of x, which is read three times and never copied.

    Sums, and the product and sum of each value, are of 32 bits whatever x has.
    """
    whole = (2, 3)
    if x.dtype == torch.float32:
        variances, means = torch.var_mean(x, whole, correction=0)
    else:
        means = x.mean(whole, dtype=torch.float32)
        powers = torch.linalg.vector_norm(x, 2, whole, dtype=torch.float32).square() / (x.shape[2] * x.shape[3])
        variances = (powers - means.square()).clamp(min=0)
    grouped = means.unflatten(1, (groups, -1))
    between, mean = torch.var_mean(grouped, 2, correction=0, keepdim=True)
    variance = variances.unflatten(1, (groups, -1)).mean(2, keepdim=True) + between
    scale = (variance + eps).rsqrt().expand_as(grouped).flatten(1) * weight.float()
    shift = bias.float() - mean.expand_as(grouped).flatten(1) * scale
    return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None], out=torch.empty_like(x))
