"""What a dry run says is what a run does."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.prepared import make_clips, tiny_settings
from venhancer.models import KeyFrames
from venhancer.training.cost import run_cost
from venhancer.training.learner import make_learner
from venhancer.training.settings import TrainSettings
from venhancer.training.start import start_pipeline


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run from nothing, and the settings of others that start from its model."""
    folder = tmp_path_factory.mktemp("cost")
    make_clips(folder / "clips")
    settings = tiny_settings(folder)
    start_pipeline(settings)
    return folder, settings


def settings_of(begun, train: str, **changes) -> TrainSettings:
    folder, settings = begun
    if train == "all":
        return settings.model_copy(update=changes)
    lora = {"networks": ("unet", "controlnet"), "rank": 2}
    return tiny_settings(
        folder, output=folder / train, start_from=folder / "run" / "start", train=train, lora=lora, **changes
    )


@pytest.mark.parametrize("train", ["all", "controlnet", "unet", "lora"])
def test_parameters_are_those_that_learn(begun, train):
    settings = settings_of(begun, train)
    cost = run_cost(settings)
    learner = make_learner(settings, start_pipeline(settings))
    assert sum(cost.trained.values()) == sum(parameter.numel() for parameter in learner.trained().values())
    networks = sum(p.numel() for network in (learner.unet, learner.controlnet) for p in network.parameters())
    counted = sum(cost.trained.values()) + sum(cost.frozen.values()) - cost.frozen.get("others", 0)
    text = cost.trained.get("text_encoder", 0)
    assert counted - text == networks


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("train", ["all", "controlnet", "unet"])
def test_flops_are_those_of_a_step(begun, train, checkpointing):
    """Torch's own count; it leaves out what no gradient is asked for: that of the networks' very inputs."""
    settings = settings_of(begun, train, gradient_checkpointing=checkpointing)
    learner = make_learner(settings, start_pipeline(settings))
    latents = torch.randn(1, 8, settings.frames, 10, 8)
    text_embeds = torch.randn(1, 77, 16)
    key_frames = KeyFrames(
        latents, torch.ones(1, settings.frames, dtype=torch.bool), torch.tensor([7]), torch.tensor([4.0])
    )
    timesteps = torch.tensor([500])
    unet, controlnet = learner.unet, learner.controlnet
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        residuals = controlnet(latents, timesteps, controlnet.project_text(text_embeds), key_frames)
        unet(latents, timesteps, unet.project_text(text_embeds), residuals).sum().backward()
    assert run_cost(settings).step_flops == pytest.approx(counter.get_total_flops(), rel=0.06)


def test_published_models_need_no_weights(tmp_path):
    cost = run_cost(
        TrainSettings.model_validate(
            {
                "output": tmp_path,
                "data": "none",
                "start_from": "v2",
                "crop": (720, 1280),
                "steps": 10,
                "batch_size": 256,
            }
        )
    )
    assert cost.trained.keys() == {"controlnet"}
    assert cost.trained["controlnet"] + cost.frozen["unet"] == 2_044_809_796
    rows = dict(cost.describe(300))
    assert rows["samples seen"].startswith("2,560 clips of up to 17 frames of 1280x720")
    assert "hours in total" in rows["at 300 TFLOP/s"]
    assert not list(tmp_path.iterdir())
