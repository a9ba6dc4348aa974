"""What devices can do, and how long a layer takes on one: a roofline. No torch.

A layer takes as long as its products or its values moved, whichever is more. Products run at a share of the rate that
the maker states, values at a share of the stated bandwidth. Two shares of each are multiplied: what one large product
or copy reaches of the statement, and what the layers of a network reach of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from venhancer.planning.estimate import Product

LARGE_PRODUCT, LARGE_COPY = 0.8, 0.9  # of what is stated: 790 of 989 TFLOP/s, 3.0 of 3.35 TB/s on an H100
LAYERS = 0.9  # of a large product or copy: `benchmarks/roofline.py` measures it on a processor
HOST_BANDWIDTH = 20e9  # bytes a second between main memory and a device: PCIe 4.0 x16 states 32, assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One kind of device.

    Args:
        title: as people call it.
        tflops: stated rate of dense products by number format, in 1e12 FLOPs a second, sums kept in 32 bits.
        bandwidth: of its memory, in bytes a second, stated.
        memory: in bytes.
        source: of these figures.
    """

    title: str
    tflops: Mapping[str, float]
    bandwidth: float
    memory: int
    source: str

    def seconds(self, product: Product, number_format: str) -> float:
        """Return how long a layer takes."""
        return self.time(2 * product.macs, product.values * (4 if number_format == "fp32" else 2), number_format)

    def time(self, flops: float, moved: float, number_format: str) -> float:
        """Return how long so many FLOPs and bytes take together."""
        rate = self.tflops[number_format] * 1e12 * LARGE_PRODUCT
        return max(flops / rate, moved / (self.bandwidth * LARGE_COPY)) / LAYERS

    @property
    def number_format(self) -> str:
        """The format that networks run in by default."""
        return "bf16" if "bf16" in self.tflops else "fp16"


def _gpu(title: str, half: float, full: float, memory: tuple[int, int], source: str) -> Device:
    """Return a GPU by its rates, its memory in GB a second and in GB, and where they stand."""
    return Device(
        title=title,
        tflops={"fp32": full, "bf16": half, "fp16": half},
        bandwidth=memory[0] * 1e9,
        memory=memory[1] * 10**9,
        source=source,
    )


DEVICES: Mapping[str, Device] = {
    "t4": Device(
        title="T4",
        tflops={"fp32": 8.1, "fp16": 65},
        bandwidth=320e9,
        memory=16 * 10**9,
        source="NVIDIA T4 data sheet, 2019",
    ),
    "a10": _gpu("A10", 125, 31.2, (600, 24), "NVIDIA A10 data sheet, 2021"),
    "a100": _gpu("A100 SXM 80 GB", 312, 19.5, (2039, 80), "NVIDIA A100 data sheet, 2021"),
    "a100-40gb": _gpu("A100 SXM 40 GB", 312, 19.5, (1555, 40), "NVIDIA A100 data sheet, 2021"),
    "l40s": _gpu("L40S", 362, 91.6, (864, 48), "NVIDIA L40S data sheet, 2023"),
    "h100": _gpu("H100 SXM", 989, 67, (3350, 80), "NVIDIA H100 data sheet, 2023"),
    "h200": _gpu("H200 SXM", 989, 67, (4800, 141), "NVIDIA H200 data sheet, 2024"),
    "3090": _gpu("GeForce RTX 3090", 71, 35.6, (936, 24), "NVIDIA Ampere GA102 architecture, 2021"),
    "4090": _gpu("GeForce RTX 4090", 165.2, 82.6, (1008, 24), "NVIDIA Ada architecture, 2023"),
    "5090": _gpu("GeForce RTX 5090", 209.5, 104.8, (1792, 32), "NVIDIA RTX Blackwell architecture, 2025"),
}
