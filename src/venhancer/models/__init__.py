"""The networks. Saved pipelines name their classes by this module, so these names never move.

`ModelMixin` stands here because diffusers loads a component only if the module it is named in has that class too.
"""

from diffusers.models.modeling_utils import ModelMixin

from venhancer.models.autoencoder import ImageAutoencoder, LinearAutoencoder, VideoAutoencoder
from venhancer.models.controlnet import KeyFrames, VideoControlNet
from venhancer.models.unet import VideoUNet

__all__ = [
    "ImageAutoencoder",
    "KeyFrames",
    "LinearAutoencoder",
    "ModelMixin",
    "VideoAutoencoder",
    "VideoControlNet",
    "VideoUNet",
]
