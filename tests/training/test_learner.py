"""Memory and number format are chosen without changing what is learnt."""

import pytest
import torch

from training.prepared import make_clips, tiny_settings
from venhancer.models.blocks import ResBlock
from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.learner import make_learner
from venhancer.training.start import start_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learner")
    make_clips(folder / "clips")
    start_pipeline(tiny_settings(folder))
    return folder


def gradients(settings) -> dict[str, torch.Tensor]:
    learner = make_learner(settings, start_pipeline(settings))
    batch = Batches(settings).group(0, 0)
    losses = learner(batch, generator_for(0, 0), 0)
    torch.stack(list(losses.terms.values())).sum().backward()
    return {name: parameter.grad for name, parameter in learner.trained().items()}


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_checkpointing_changes_no_gradient(folder, precision):
    settings = tiny_settings(folder, output=folder / precision, precision=precision)
    kept, again = (gradients(settings.model_copy(update={"gradient_checkpointing": value})) for value in (False, True))
    assert kept.keys() == again.keys()
    for name, gradient in kept.items():
        torch.testing.assert_close(again[name], gradient)
    assert any(gradient.abs().max() > 0 for gradient in kept.values())


def test_mixed_precision_is_near(folder):
    exact, mixed = (
        gradients(tiny_settings(folder, output=folder / value, precision=value)) for value in ("no", "bf16")
    )
    whole = [torch.cat([gradient.flatten() for gradient in each.values()]) for each in (exact, mixed)]
    assert not torch.equal(*whole)
    assert torch.nn.functional.cosine_similarity(*whole, dim=0) > 0.98
    assert all(gradient.dtype == torch.float32 for gradient in mixed.values())


@torch.no_grad()
def test_a_new_decoder_hears_the_middle(folder):
    unet = start_pipeline(tiny_settings(folder)).unet
    features = torch.randn(1, 32, 6, 8, generator=torch.Generator().manual_seed(0))
    heard = features
    for block in (block for stage in unet.decoder for block in stage if isinstance(block, ResBlock)):
        passed = torch.nn.functional.conv2d(heard, block.skip.weight[:, : heard.shape[1]])
        assert passed.std() == pytest.approx(float(heard[:, : passed.shape[1]].std()), rel=1e-4)
        heard = passed


def test_the_text_encoder_learns_if_asked_to(folder):
    names = {
        train_text: {name.split(".")[0] for name in make_learner(settings, start_pipeline(settings)).trained()}
        for train_text in (None, False)
        for settings in [tiny_settings(folder, train_text=train_text)]
    }
    assert names == {None: {"unet", "controlnet", "text_encoder"}, False: {"unet", "controlnet"}}
    with pytest.raises(
        ValueError, match="train_text does not work with train: lora; set train: unet, controlnet or all"
    ):
        tiny_settings(folder, start_from="nano", train="lora", train_text=True)


@torch.no_grad()
def test_v_is_learned_where_the_settings_say(folder):
    settings = tiny_settings(folder, objective={"timestep_range": (20, 23)}, batch_size=8)
    learner = make_learner(settings, start_pipeline(settings))
    batch = Batches(settings).group(0, 0)
    drawn = {int(t) for seed in range(5) for t in learner(batch, generator_for(seed), 0).timesteps}
    assert drawn == {20, 21, 22, 23}
    with pytest.raises(ValueError, match="timestep_range goes from 9 to 3; set the smaller first"):
        tiny_settings(folder, objective={"timestep_range": (9, 3)})
