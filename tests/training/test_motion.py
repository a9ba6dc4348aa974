"""Training a network for the motion between key frames, beside frozen ones."""

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.testing import assert_close

from tiny_model import make_tiny_model
from training.prepared import make_clips, tiny_settings
from venhancer.cli.main import main
from venhancer.errors import SettingsError
from venhancer.training.cost import run_cost
from venhancer.training.data.batches import Batches
from venhancer.training.loop import train
from venhancer.training.motion import draw_triplets
from venhancer.training.settings import TrainSettings
from venhancer.weights import load_pipeline

CHANNELS = (8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips, and a model that makes frames between from finished ones."""
    folder = tmp_path_factory.mktemp("motion")
    make_clips(folder / "clips", frames=16)
    make_tiny_model(folder / "base", flat=True)
    return folder


def settings_of(folder, **changes) -> TrainSettings:
    fields = {
        "start_from": folder / "base",
        "train": "motion",
        "between": "interpolate",
        "motion": {"channels": CHANNELS},
        "augment": {"temporal_factors": (2, 4), "temporal_weights": (1, 1)},
        "objective": {"neighbour_weight": 0.5},
        "crop": (40, 40),
        "frames": 9,
        "batch_size": 2,
        "learning_rate": 3e-3,
    }
    return tiny_settings(folder, **fields | changes)


def test_only_motion_learns(folder):
    trained = train(settings_of(folder, output=folder / "only", steps=4))
    for network in ("unet", "controlnet", "vae"):
        file = f"{network}/diffusion_pytorch_model.safetensors"
        before, after = load_file(folder / "base" / file), load_file(trained / file)
        assert all(torch.equal(values.half(), after[name]) for name, values in before.items())
    motion = load_file(trained / "motion" / "diffusion_pytorch_model.safetensors")
    assert all(values.abs().sum() > 0 for name, values in motion.items() if name.endswith("exit.weight"))
    pipeline = load_pipeline(trained, dtype="fp32")
    clip = (torch.rand(3, 32, 32, 3, generator=torch.Generator().manual_seed(0)) * 255).byte().numpy()
    with_motion = pipeline(clip, source_fps=24, fps=48, scale=1)
    without = load_pipeline(folder / "base", dtype="fp32")(clip, source_fps=24, fps=48, scale=1)
    assert with_motion.shape == without.shape
    assert abs(with_motion[::2].astype(int) - without[::2]).max() <= 1  # key frames are the same networks', in 16 bits
    assert (with_motion[1::2] != without[1::2]).any()


def test_a_stopped_run_ends_with_the_same_weights(folder):
    whole = train(settings_of(folder, output=folder / "whole", steps=4))
    train(settings_of(folder, output=folder / "halves", steps=2))
    halves = train(settings_of(folder, output=folder / "halves", steps=4))
    file = "motion/diffusion_pytorch_model.safetensors"
    assert (whole / file).read_bytes() == (halves / file).read_bytes()


def test_training_goes_on_from_a_model_with_motion(folder):
    first = train(settings_of(folder, output=folder / "first", steps=2))
    again = train(settings_of(folder, output=folder / "again", start_from=first, steps=1, learning_rate=1e-9))
    file = "motion/diffusion_pytorch_model.safetensors"
    for name, values in load_file(first / file).items():
        assert_close(load_file(again / file)[name], values, atol=1e-3, rtol=1e-2)


def test_clips_are_one_gap_long(folder):
    batches = Batches(settings_of(folder))
    for step in range(8):
        mask = batches.group(step, 0).key_frame_mask[0]
        assert mask[0]
        assert mask[-1]
        assert mask.sum() == 2


def test_triplets_are_two_key_frames_and_one_between():
    clips = torch.arange(7.0).view(1, 1, 7, 1, 1).expand(4, 3, 7, 2, 2)
    mask = torch.tensor([True, False, False, True, False, False, True])
    before, after, truth, times = draw_triplets(clips, mask, torch.Generator().manual_seed(0))
    for first, second, middle, time in zip(before, after, truth, times, strict=True):
        assert float(second.mean() - first.mean()) == 3
        assert_close(middle, torch.lerp(first, second, time))


def test_key_frames_alone_are_refused():
    clips = torch.zeros(1, 3, 2, 4, 4)
    with pytest.raises(SettingsError, match="raise frames"):
        draw_triplets(clips, torch.tensor([True, True]), torch.Generator())


def test_models_that_do_not_interpolate_are_refused(folder):
    make_tiny_model(folder / "blending")
    with pytest.raises(SettingsError, match="set between: interpolate"):
        train(
            settings_of(
                folder, output=folder / "refused", start_from=folder / "blending", between="blend", crop=(40, 32)
            )
        )


def test_its_cost(folder):
    cost = run_cost(settings_of(folder))
    pipeline = load_pipeline(folder / "base")
    assert set(cost.trained) == {"motion"}
    assert cost.frozen["unet"] == sum(parameter.numel() for parameter in pipeline.unet.parameters())
    twice = run_cost(settings_of(folder, crop=(80, 40)))
    assert twice.step_flops == pytest.approx(2 * cost.step_flops, rel=0.02)
    assert cost.memory["activations"] > 0


def test_one_command_trains_both_runs(folder, capsys):
    """The motion of a model from nothing is learned after it, by the recipe that follows; the dry run says so."""
    flat = {"latent_channels": 48, "base_channels": 16, "channel_mults": [1], "attention_levels": [False]}
    flat |= {"middle_attention": False, "norm_groups": 0, "entry_heads": 0, "head_dim": 8, "control_channels": 8}
    first = tiny_settings(
        folder, output=folder / "nothing", between="interpolate", network=flat, crop=(40, 40), steps=1
    )
    second = settings_of(folder, output=folder / "followed", start_from=folder / "nothing" / "pipeline", steps=1)
    recipes = [folder / "first.yaml", folder / "second.yaml"]
    for recipe, settings, following in zip(recipes, (first, second), ("second.yaml", None), strict=True):
        fields = settings.model_dump(mode="json", exclude_unset=True) | {"next_recipe": following}
        recipe.write_text(yaml.safe_dump(fields))
    main(["train", str(recipes[0]), "--dry-run"])
    assert f"then the run in {folder / 'followed'}" in " ".join(capsys.readouterr().out.split())
    main(["train", str(recipes[0]), "--quiet"])
    assert load_pipeline(folder / "followed" / "pipeline").motion is not None
    assert load_pipeline(folder / "nothing" / "pipeline").motion is None
