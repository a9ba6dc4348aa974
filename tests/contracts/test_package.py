"""What others build on, and the shape of the source: public names, layers, what loads torch, sizes, names, keys."""

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

import venhancer
from venhancer.model_files.network_shape import NetworkShape
from venhancer.models import VideoControlNet, VideoUNet
from venhancer.settings import EnhanceSettings
from venhancer.training.data.manifest import ClipEntry
from venhancer.training.settings import (
    AugmentSettings,
    DataSettings,
    IndexSettings,
    NetworkSettings,
    ObjectiveSettings,
    TrainSettings,
)
from venhancer.training.start import new_shape

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "venhancer"
SOURCES = sorted(PACKAGE.rglob("*.py"))

PUBLIC = [
    "EnhancePlan",
    "EnhanceReport",
    "EnhanceSettings",
    "InputError",
    "JobFailed",
    "SettingsError",
    "Stopped",
    "VEnhancerError",
    "VEnhancerPipeline",
    "WeightsError",
    "__version__",
    "attach_adapters",
    "enhance_video",
    "find_machine",
    "load_pipeline",
    "merge_adapters",
    "plan_video",
    "probe",
    "read_frames",
]
WITHOUT_TORCH = (
    "venhancer",
    "venhancer.cli.main",
    "venhancer.enhance",
    "venhancer.media.writing.writer",
    "venhancer.cli.terminal",
)
AT_HOME = {
    "accelerate": "training",
    "fastapi": ("api", "page", "web"),
    "gradio": "page",
    "imageio_ffmpeg": "evaluation",
    "matplotlib": ("reports", "training"),
    "ncnn": "evaluation",
    "ray": "fleet",
    "starlette": ("api", "web"),
    "stlpips_pytorch": ("evaluation", "training"),
    "uvicorn": "web",
    "yaml": ("cli", "evaluation", "training"),
}
"""Optional packages and the only folders that may import them."""
JUNK_DRAWERS = {
    "base",
    "common",
    "core",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "manager",
    "misc",
    "util",
    "utils",
}
LONGEST = 400
SCHEMAS = {"settings.py", "training/settings.py", "media/writing/encoders.py"}  # tables of fields and of codecs
"""Files of fields alone, which may be longer."""

KEYS = {
    ("published", "unet"): "1acd6a3589506e511e968c5f5e8af9a9518673cc03438d44642e0ce4b51da103",
    ("published", "controlnet"): "029ba62551d2ed4203f1592bceae01751b2716cac42656d5f59669cfac2f3750",
    ("nano", "unet"): "2cd67185ccdd0b41129d086cd80bd5b9ba81a167423203ff5ae9a79a0ad25f8d",
    ("nano", "controlnet"): "701ace4ecf205c9a3961ff2f52e7d08f9dc57d42318caee0ed2229150147ca0a",
}
"""SHA-256 of the sorted names in a network's state dict, one a line."""


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_public_names_are_frozen():
    assert venhancer.__all__ == PUBLIC
    assert dir(venhancer) == PUBLIC
    assert venhancer.__version__ == version("venhancer")
    for name in set(PUBLIC) - {"__version__"}:
        assert getattr(venhancer, name).__name__ == name


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"] == {
        "packages": ["src/venhancer"]
    }


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'enhance_everything'"):
        _ = venhancer.enhance_everything


def test_layers_hold():
    """The contracts are in pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_planning_loads_no_torch():
    code = f"import sys\nimport {', '.join(WITHOUT_TORCH)}\nfrom venhancer import EnhanceSettings, plan_video\n"
    code += "print(*sorted({'torch', 'diffusers', 'transformers', 'gradio', 'fastapi'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_optional_packages_are_imported_at_home(path):
    tree = ast.parse(path.read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for package in AT_HOME.keys() & {module.partition(".")[0] for module in modules}:
        assert path.relative_to(PACKAGE).parts[0] in AT_HOME[package], package


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_are_short_and_named_for_what_they_hold(path):
    assert len(path.read_text().splitlines()) <= LONGEST or name_of(path) in SCHEMAS
    assert JUNK_DRAWERS.isdisjoint(re.split(r"[_.]", path.name))


@pytest.mark.parametrize(
    "model",
    [
        AugmentSettings,
        ClipEntry,
        DataSettings,
        EnhanceSettings,
        IndexSettings,
        NetworkSettings,
        ObjectiveSettings,
        TrainSettings,
    ],
)
def test_every_setting_is_described(model):
    for name, field in model.model_fields.items():
        is_group = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        assert is_group or (field.description or "").endswith("."), name


@pytest.mark.parametrize(("size", "network"), KEYS)
def test_names_of_weights_are_frozen(size, network):
    """Weights that people have must go on loading."""
    settings = NetworkSettings(latent_channels=24)
    shape = NetworkShape() if size == "published" else new_shape(settings)
    with torch.device("meta"):
        made = VideoUNet(**shape.arguments()) if network == "unet" else VideoControlNet.from_shape(shape)
    names = "\n".join(sorted(made.state_dict()))
    assert hashlib.sha256(names.encode()).hexdigest() == KEYS[size, network]
