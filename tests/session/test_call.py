"""Pipelines as diffusers' users call them, loaded both ways; the example that shows it runs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from media.clips import picture
from venhancer import VEnhancerPipeline
from venhancer.errors import SettingsError

EXAMPLE = Path(__file__).parents[2] / "examples" / "with_diffusers.py"
ASKED = {"source_fps": 12, "scale": 1, "fps": 24}


@pytest.fixture(scope="module")
def pipeline(tiny_model) -> VEnhancerPipeline:
    return VEnhancerPipeline.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([picture(number, 32, 24) for number in range(20)])


def test_types_of_output_are_those_of_diffusers(pipeline, frames):
    plain = pipeline(frames, **ASKED, seed=7)
    assert plain.dtype == np.uint8
    array = pipeline(frames, **ASKED, seed=7, output_type="np").frames
    tensor = pipeline(frames, **ASKED, seed=7, output_type="pt").frames
    pictures = pipeline([Image.fromarray(one) for one in frames], **ASKED, seed=7, output_type="pil").frames
    assert (array.shape, array.dtype) == ((1, 40, 24, 32, 3), np.float32)
    assert np.array_equal(np.rint(array[0] * 255), plain)
    assert tensor.shape == (1, 40, 3, 24, 32)
    assert np.array_equal(tensor[0].movedim(1, -1).numpy(), array[0])
    assert np.array_equal(np.stack([np.asarray(one) for one in pictures[0]]), plain)
    with pytest.raises(SettingsError, match="output_type latent is unknown; pass np, pt or pil"):
        pipeline(frames, **ASKED, output_type="latent")


def test_a_generator_takes_the_place_of_the_seed(pipeline, frames):
    by_seed = pipeline(frames, **ASKED, seed=7)
    assert np.array_equal(pipeline(frames, **ASKED, generator=torch.Generator().manual_seed(7)), by_seed)
    assert not np.array_equal(pipeline(frames, **ASKED, generator=torch.Generator().manual_seed(8)), by_seed)


def test_the_callback_is_told_every_evaluation_and_can_change_and_stop_the_work(pipeline, frames):
    told = []

    def watch(pipe, step, timestep, kwargs):
        told.append((pipe is pipeline, step, timestep, kwargs["latents"].shape[0]))
        return kwargs

    expected = pipeline(frames, **ASKED)
    assert np.array_equal(pipeline(frames, **ASKED, callback_on_step_end=watch), expected)
    assert all(is_own and batch == 1 for is_own, _, _, batch in told)
    assert [step for _, step, _, _ in told][:2] == [0, 1]
    assert told[0][2] > told[1][2]

    def darken(_pipe, _step, _timestep, kwargs):
        return {"latents": kwargs["latents"] * 0}

    assert not np.array_equal(pipeline(frames, **ASKED, callback_on_step_end=darken), expected)

    def stop(_pipe, _step, _timestep, _kwargs):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        pipeline(frames, **ASKED, callback_on_step_end=stop)


def test_the_example_loads_a_folder_both_ways(tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, EXAMPLE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("VEnhancerPipeline: step 0 at 3, latents (1, ")
    assert lines[-1] == "8 pictures of 64x48; both pipelines agree: True"
