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
