"""A rehearsal on CUDA without a GPU: the whole pipeline of v1 and v2, on tensors that hold nothing.

PyTorch's CUDA build imports without a GPU. What would be on the GPU is fake here (shapes, types, devices and memory
formats, no values); what is in main memory is real. Mistakes of device and type raise as on a GPU, and three things are
counted: copies that only change the memory format, waits of the host for the device, and the bytes of tensors alive, to
compare with the plan. Nothing is computed: half a minute and 2 GB suffice. Backward passes cannot be rehearsed, because
autograd asks the driver for a context. Use an environment of its own, with a CUDA build of PyTorch:

    python -m venv cuda && cuda/bin/pip install torch -e . && cuda/bin/python benchmarks/rehearse_cuda.py
"""

import argparse
import json
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

from venhancer import pictures
from venhancer.media.clip import describe_frames
from venhancer.model_files.traits import ModelTraits, load_traits
from venhancer.models import ImageAutoencoder, VideoAutoencoder, VideoControlNet, VideoUNet, offload
from venhancer.models.normalization import IS_COPIED
from venhancer.pipeline import VEnhancerPipeline
from venhancer.plan import make_plan
from venhancer.planning.memory import Machine
from venhancer.settings import parse_settings

RESULTS = Path(__file__).parent / "results" / "rehearse_cuda.json"
GIB = 2**30
FUSED = {"aten::scaled_dot_product_attention"}
COMPOSITE = "CompositeImplicitAutograd"
FORMAT_COPIES = ("aten.clone", "aten.contiguous", "aten.copy_")
TEXT = {"vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}
AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}


class FakeCuda(TorchDispatchMode):
    """Leaves what touches CUDA to the fake mode below it, runs everything else for real, and counts.

    Attributes:
        peak: most bytes of CUDA tensors alive at once.
        alive: bytes alive now.
        copies: of CUDA activations from one memory format to another, by operator and shape.
        waits: of the host for the device, by operator.
    """

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.fake = fake
        self.alive = self.peak = 0
        self.copies: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self._storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        whole = func.namespace != "aten" or func.name() in FUSED
        if not whole and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE):
            with self:  # inference mode hands on composite operators whole
                return func.decompose(*args, **kwargs)
        leaves = tree_leaves((args, kwargs))
        fakes = [leaf for leaf in leaves if isinstance(leaf, FakeTensor)]
        goes_there = any(isinstance(leaf, torch.device) and leaf.type == "cuda" for leaf in leaves)
        if not fakes and not goes_there:
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        self._count(str(func), fakes, kwargs)
        args, kwargs = tree_map_only(Tensor, self._faked, (args, kwargs))
        result = func(*args, **kwargs)
        if _is_flat_convolution(str(func), fakes) and "channels-last" in map(_format_of, fakes[:2]):
            result = torch.empty_like(result, memory_format=torch.channels_last)  # as cuDNN, which fakes do not ask
        for leaf in tree_leaves(result):
            if isinstance(leaf, FakeTensor) and leaf.device.type == "cuda":
                self._hold(leaf)
        return result

    def _faked(self, tensor: Tensor) -> FakeTensor:
        return tensor if isinstance(tensor, FakeTensor) else self.fake.from_tensor(tensor)

    def _count(self, name: str, fakes: list[FakeTensor], kwargs: dict[str, Any]) -> None:
        if name.startswith(("aten._local_scalar_dense", "aten.nonzero")):
            self.waits[name] += 1
        device = kwargs.get("device")
        if name.startswith("aten._to_copy") and device is not None:
            came_from = {fake.device.type for fake in fakes} or {"cpu"}
            if came_from != {torch.device(device).type}:
                self.waits[f"{name} {'/'.join(came_from)} to {torch.device(device).type}"] += 1
        if name.startswith(FORMAT_COPIES) and fakes and fakes[0].device.type == "cuda" and fakes[0].dim() > 2:
            size = fakes[0].numel() * fakes[0].element_size() / GIB
            self.copies[f"{_place()} {name} {_format_of(fakes[0])}"] += size
        if _copies_inside(name, fakes):
            self.copies[f"{_place()} inside {name}"] += fakes[0].numel() * fakes[0].element_size() / GIB

    def _hold(self, tensor: FakeTensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._storages:
            return
        size = storage.nbytes()
        self._storages.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self.alive -= size


def _copies_inside(name: str, fakes: list[FakeTensor]) -> bool:
    """Tell whether CUDA's kernel first copies its input into the only memory format that it takes."""
    if name.startswith("aten.native_group_norm"):
        return IS_COPIED and not fakes[0].is_contiguous()
    return _is_flat_convolution(name, fakes) and _format_of(fakes[1]) == "channels-last" != _format_of(fakes[0])


def _is_flat_convolution(name: str, fakes: list[FakeTensor]) -> bool:
    return name.startswith("aten.convolution") and fakes[0].dim() == 4


def _place() -> str:
    """Return the line of the project that is at work."""
    frame = sys._getframe()
    while frame is not None and "/venhancer/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).stem}:{frame.f_lineno}" if frame else "?"


def _format_of(tensor: Tensor) -> str:
    if tensor.dim() != 4:
        return f"{tensor.dim()}d"
    return "channels-last" if tensor.is_contiguous(memory_format=torch.channels_last) else "channels-first"


def build(traits: ModelTraits, dtype: torch.dtype) -> VEnhancerPipeline:
    """Return a pipeline of a published model's shapes whose weights lie, as far as anything does, on a GPU."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device("cuda"):
        vae = (
            ImageAutoencoder(**AUTOENCODER, up_block_types=("UpDecoderBlock2D",) * 4)
            if traits.release == "v1"
            else VideoAutoencoder(**AUTOENCODER)
        )
        text = CLIPTextModel(CLIPTextConfig(**TEXT, num_attention_heads=16, max_position_embeddings=77))
        unet, controlnet = VideoUNet(), VideoControlNet()
    torch.set_default_dtype(default)
    for network in (vae, text, unet, controlnet):
        network.eval()
        for module in network.modules():  # what constructors make in main memory whatever the default device
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.device.type == "cpu":
                    setattr(module, name, torch.nn.Parameter(parameter.data.to("cuda", dtype)))
    for network in (unet, controlnet):
        network.lay_out()
    pipeline = VEnhancerPipeline(vae, unet, controlnet, text, ByT5Tokenizer(extra_ids=0))
    pipeline.traits = traits  # pyright: ignore[reportAttributeAccessIssue] - cached, as loading would have
    return pipeline


def rehearse(release: str, mode: FakeCuda, *, width: int, height: int, frames: int, **settings: object) -> dict:
    """Return what an enhancement counts."""
    traits = load_traits(release)
    pipeline = build(traits, torch.bfloat16)
    weights, sides = mode.alive, (height, width)
    clip = describe_frames(frames, *sides, Fraction(8))
    machine = Machine(memory=None, number_format="bf16", has_own_memory=True)
    plan = make_plan(clip, parse_settings(model=release, **settings), traits, machine=machine)
    blank = np.zeros((*sides, 3), np.uint8)
    phases = {}
    mode.peak, mode.copies, mode.waits = mode.alive, Counter(), Counter()
    with phase_counts(pipeline, mode, phases):
        made = sum(1 for _ in pipeline.enhance(plan, lambda inputs: (blank for _ in inputs)))
    return {
        "release": release,
        "output": [made, plan.height, plan.width],
        "evaluations": len(plan.sampling.evaluations),
        "windows": sum(len(segment.windows) for segment in plan.segments),
        "tiles": len(plan.tiles),
        "weights_gib": round(weights / GIB, 2),
        "peak_gib": round(mode.peak / GIB, 2),
        "planned_gib": round(plan.layout.footprint.total / GIB, 2),
        "phases": phases,
    }


def _rounded(copies: Counter[str]) -> dict[str, float]:
    return {name: round(size, 2) for name, size in copies.most_common() if size >= 0.01}


@contextmanager
def phase_counts(pipeline: VEnhancerPipeline, mode: FakeCuda, phases: dict[str, Any]) -> Iterator[None]:
    """Note peak, copies and waits of encoding, of the sampling loop's evaluations and of decoding apart."""
    originals = {"encode": pipeline.encode, "denoise": pipeline.denoise, "decode": pipeline.decode}

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            waits, copies, peak = mode.waits.copy(), mode.copies.copy(), mode.peak
            mode.peak = mode.alive
            result = work(*args, **kwargs)
            phases[name] = {
                "peak_gib": round(mode.peak / GIB, 2),
                "waits": dict(mode.waits - waits),
                "copies_gib": _rounded(mode.copies - copies),
            }
            mode.peak = max(peak, mode.peak)
            return result

        return run

    for name, work in originals.items():
        setattr(pipeline, name, counted(name, work))
    levels, move = pictures.to_levels, offload._move
    offload._move = lambda *_: None  # fake weights cannot be exchanged, and are where they should be
    pictures.to_levels = lambda *_: np.zeros((1, 1, 3), np.uint8)
    try:
        yield
    finally:
        pictures.to_levels, offload._move = levels, move


def main() -> None:
    """Rehearse and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", nargs="+", default=["v1", "v2"])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results = []
    for release in arguments.releases:
        started = time.perf_counter()
        with FakeTensorMode(allow_non_fake_inputs=True) as fake, FakeCuda(fake) as mode:
            result = rehearse(release, mode, width=320, height=180, frames=8, scale=4, fps=24, steps=2)
        result["seconds"] = round(time.perf_counter() - started, 1)
        results.append(result)
        print(json.dumps(result, indent=1))
    arguments.output.write_text(json.dumps({"torch": torch.__version__, "runs": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
