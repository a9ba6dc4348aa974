"""A digest of weights, by which results name what made them."""

import hashlib
from collections.abc import Mapping

import torch
from torch import nn


def weights_fingerprint(components: Mapping[str, nn.Module]) -> str:
    """Return a digest of components' weights by name, from up to about 64 values of each tensor."""
    digest = hashlib.blake2b(digest_size=16)
    for component, module in components.items():
        for name, values in module.state_dict().items():
            places = torch.arange(0, values.numel(), max(1, values.numel() // 64), device=values.device)
            few = values[torch.unravel_index(places, values.shape)].double().cpu().numpy()
            digest.update(f"{component}.{name} {values.dtype} {tuple(values.shape)}".encode() + few.tobytes())
    return digest.hexdigest()
