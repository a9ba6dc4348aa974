"""The networks. Saved pipelines name their classes by this module, so these names never move."""

from venhancer.models.autoencoder import ImageAutoencoder, LinearAutoencoder, VideoAutoencoder
from venhancer.models.controlnet import KeyFrames, VideoControlNet
from venhancer.models.unet import VideoUNet

__all__ = [
    "ImageAutoencoder",
    "KeyFrames",
    "LinearAutoencoder",
    "VideoAutoencoder",
    "VideoControlNet",
    "VideoUNet",
]

# diffusers writes a class's `__module__` into model_index.json: the files below may be renamed, this package may not.
for _component in (ImageAutoencoder, LinearAutoencoder, VideoAutoencoder, VideoControlNet, VideoUNet):
    _component.__module__ = __name__
