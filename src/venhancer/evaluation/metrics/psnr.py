"""Peak signal-to-noise ratio: how far pixels are off."""

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames import levels

psnr = metric("closeness of pixels to the truth", higher_is_better=True, unit="dB")(levels.psnr)
