"""The networks. Saved pipelines name their classes by this module, so these names never move.

`ModelMixin` is here because diffusers loads a component only if the module that it is named in has that class too.
"""

from diffusers.models.modeling_utils import ModelMixin

from venhancer.models.autoencoder import ImageAutoencoder, LinearAutoencoder, VideoAutoencoder
from venhancer.models.controlnet import KeyFrames, VideoControlNet
from venhancer.models.motion import MotionNetwork
from venhancer.models.unet import VideoUNet

__all__ = [
    "ImageAutoencoder",
    "KeyFrames",
    "LinearAutoencoder",
    "ModelMixin",
    "MotionNetwork",
    "VideoAutoencoder",
    "VideoControlNet",
    "VideoUNet",
]

# diffusers writes a class's `__module__` into model_index.json: the files below may be renamed, this package may not.
for _component in (ImageAutoencoder, LinearAutoencoder, MotionNetwork, VideoAutoencoder, VideoControlNet, VideoUNet):
    _component.__module__ = __name__
