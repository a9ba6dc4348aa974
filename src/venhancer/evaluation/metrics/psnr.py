"""Peak signal-to-noise ratio: how far pixels are off."""

from venhancer.evaluation.metrics.metric import Metric
from venhancer.frames.levels import psnr

METRIC = Metric(
    name="psnr",
    measure=psnr,
    takes=("result", "reference"),
    what="how near pixels are to the truth",
    higher_is_better=True,
    unit="dB",
)
