"""How long a plan's work takes on a device, before anybody rents it: layer by layer, by `venhancer.planning.devices`.

Networks and autoencoder are predicted, and weights that wait in main memory. Reading, writing and, where a model makes
frames between from finished ones, their motion are not: they run on the processor beside or after it. No torch.
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial

from venhancer.planning.coding import decoding, encoding, tiny_decoding
from venhancer.planning.devices import HOST_BANDWIDTH, Device
from venhancer.planning.estimate import network_flops
from venhancer.planning.execution import SLICED_COST
from venhancer.planning.memory import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Seconds on a device.

    Args:
        networks: of all evaluations.
        autoencoder: of encoding and decoding.
        transfers: of weights between main memory and the device.
    """

    networks: float
    autoencoder: float
    transfers: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.networks + self.autoencoder + self.transfers


def predict(layout: Layout, device: Device, number_format: str) -> Prediction:
    """Return how long the work of a layout takes.

    Args:
        layout: how the output is divided and worked on.
        device: what it runs on.
        number_format: of the networks.
    """
    task, execution = layout.task, layout.execution
    measure = partial(device.seconds, number_format=number_format)
    windows = Counter(len(task.sampled(window)) for segment in layout.segments for window in segment.windows)
    rows, columns = len(layout.tiles[0].rows), len(layout.tiles[0].columns)
    networks = 0.0
    for length, count in windows.items():
        forward = network_flops(task.traits.network, length, rows, columns, task.traits.text_tokens, measure=measure)
        costs = (forward.of(one, shares_prompts=execution.batches_guidance) for one in task.sampling.evaluations)
        networks += count * len(layout.tiles) * sum(costs)
    return Prediction(
        networks=networks * (SLICED_COST if execution.slice_tokens else 1),
        autoencoder=_coding_seconds(layout, device, number_format),
        transfers=layout.estimate.moved_bytes / HOST_BANDWIDTH,
    )


def _coding_seconds(layout: Layout, device: Device, number_format: str) -> float:
    """Return how long key frames take to encode and all frames to decode."""
    task, traits = layout.task, layout.task.traits
    encoded, decoded = len(task.key_frames), sum(len(task.sampled(one.settled)) for one in layout.segments)
    pixels = task.latent_height * task.latent_width * traits.pixels_per_latent**2
    if not traits.autoencoder_width:
        moved = 4 * (encoded + decoded) * 2 * 3 * pixels
        return device.time(layout.estimate.autoencoder_flops, moved, number_format)
    again = traits.decode_window / (traits.decode_window - traits.decode_overlap)
    tile = layout.coded_tiles[0]
    shape = traits.autoencoder_width, traits.latent_channels, len(tile.rows), len(tile.columns)
    ways = encoding(*shape), decoding(*shape, temporal=traits.decode_window > 1)
    encode, decode = (sum(device.seconds(product, number_format) for product in way) for way in ways)
    if traits.decoder is not None:
        whole = tiny_decoding(task.latent_height, task.latent_width)
        tiny = sum(device.seconds(product, number_format) for product in whole)
        return len(layout.coded_tiles) * encoded * encode + decoded * tiny
    return len(layout.coded_tiles) * (encoded * encode + decoded * again * decode)
