"""Adapters learn from the networks they are put into: guidance in one forward, and sampling in few steps."""

import json
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts.written import ROOT
from media.clips import make_clip
from tiny_model import make_tiny_model
from training.prepared import make_clips, tiny_settings, weights_of
from venhancer.checkpoints.adapters import merge_adapters
from venhancer.cli.main import main
from venhancer.errors import SettingsError, WeightsError
from venhancer.model_files.adapter import CARRIED, METADATA, read_adapter
from venhancer.model_files.traits import load_traits
from venhancer.training.cost import run_cost
from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.discriminator import LatentDiscriminator
from venhancer.training.export import ADAPTERS
from venhancer.training.learner import make_learner
from venhancer.training.loop import train
from venhancer.training.settings import TrainSettings
from venhancer.training.start import start_pipeline
from venhancer.weights import load_pipeline

LAYERS = ("to_q", "to_out", "conv_in", "conv_out")


def guidance_settings(folder, **changes):
    fields = {
        "output": folder / "guidance",
        "start_from": folder / "base",
        "train": "lora",
        "lora": {"networks": ("unet",), "rank": 2, "alpha": 2, "layers": LAYERS, "guidance_input": True},
        "objective": {"guidance_range": (1, 4)},
        "defaults": {"guidance_scale": 3.0},
        "learning_rate": 1e-2,
        "ema_decay": 0.5,
        "steps": 4,
    }
    return tiny_settings(folder, **fields | changes)


def student_settings(folder, **changes):
    fields = {
        "output": folder / "student",
        "lora": {"networks": ("unet", "controlnet"), "rank": 2, "alpha": 2, "layers": LAYERS},
        "objective": {
            "finishing_share": 1.0,
            "finishing_steps": 4,
            "finishing_start_timestep": (999, 899),
            "finishing_frames": 2,
            "finishing_target": "teacher",
            "latent_weight": 1.0,
            "adversarial_weight": 0.1,
        },
        "defaults": {"steps": 4, "solver": "ddim", "guidance_scale": 1.0, "start_timestep": 999},
    }
    return guidance_settings(folder, **fields | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips, and a model that samples in two guided steps."""
    folder = tmp_path_factory.mktemp("distillation")
    make_clips(folder / "clips")
    make_tiny_model(folder / "base")
    return folder


@pytest.fixture(scope="module")
def guidance(folder):
    train(guidance_settings(folder))
    return folder / "guidance" / ADAPTERS


@pytest.fixture(scope="module")
def student(folder):
    train(student_settings(folder))
    return folder / "student" / ADAPTERS


def test_a_guidance_input_says_nothing_at_first(tiny_unet):
    latents, timesteps, embeds = torch.randn(2, 4, 3, 10, 8), torch.tensor([7, 900]), torch.randn(2, 7, 12)
    unet = type(tiny_unet)(**{name: value for name, value in tiny_unet.config.items() if not name.startswith("_")})
    unet.load_state_dict(tiny_unet.state_dict())
    expected = unet(latents, timesteps, unet.project_text(embeds))
    unet.take_guidance()
    assert torch.equal(unet(latents, timesteps, unet.project_text(embeds, torch.tensor([1.0, 7.5]))), expected)
    unet.guidance_embed[-1].bias.data += 1
    assert not torch.equal(unet(latents, timesteps, unet.project_text(embeds, torch.tensor([1.0, 7.5]))), expected)
    assert torch.equal(unet(latents, timesteps, unet.project_text(embeds)), expected)


def test_the_teacher_is_the_network_without_adapters(folder):
    learner = make_learner(guidance_settings(folder), pipeline := start_pipeline(guidance_settings(folder)))
    base = load_pipeline(folder / "base", dtype="fp32").unet
    channels = base.config["in_channels"]
    given = torch.randn(1, channels, 3, 10, 8), torch.tensor([500])
    embeds = torch.randn(1, 7, base.config["text_dim"])
    for name, parameter in learner.trained().items():
        parameter.data += 0.1 * torch.ones_like(parameter) * ("lora_B" in name)
    with torch.no_grad():
        expected = base(*given, base.project_text(embeds))
        text = pipeline.unet.project_text(embeds)
        assert not torch.allclose(pipeline.unet(*given, text), expected)
        with learner.objective.teacher.silenced():
            torch.testing.assert_close(pipeline.unet(*given, text), expected)
    assert len(learner.trained()) > 4  # all learn again


def test_guidance_is_learned_from_the_teacher(folder):
    """On one batch with one noise, what is left of the distance after some steps is less."""
    settings = guidance_settings(folder, objective={"guidance_range": (4, 4)}, learning_rate=3e-2)
    learner = make_learner(settings, start_pipeline(settings))
    batch = Batches(settings).group(0, 0)
    optimizer = torch.optim.Adam(learner.trained().values(), lr=1e-2)
    losses = []
    for _ in range(25):
        terms = learner(batch, generator_for(0, 0, 0, 1), 0, torch.tensor([600])).terms
        losses.append(terms["denoising"].item())
        terms["denoising"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert 0 < losses[-1] < 0.8 * losses[0]


def test_one_prompt_a_step_where_guidance_is_an_input(folder, guidance):
    base, adapted = (load_traits(str(folder / "base"), file) for file in (None, guidance))
    assert (base.takes_guidance, adapted.takes_guidance) == (False, True)
    assert adapted.defaults.guidance_scale == 3.0
    pipeline = load_pipeline(folder / "base", adapter=guidance, dtype="fp32")
    frames = torch.randint(0, 255, (3, 16, 16, 3), dtype=torch.uint8).numpy()
    calls = []
    pipeline.unet.register_forward_hook(lambda module, given, result: calls.append(len(result)))
    strong, weak = (pipeline(frames, source_fps=8, scale=2, guidance_scale=scale) for scale in (4, 1))
    assert calls == [1] * 4
    assert (strong != weak).any()
    with pytest.raises(SettingsError, match="omit --guidance-from"):
        pipeline(frames, source_fps=8, guidance_until=100)


@pytest.mark.parametrize("kind", ["guidance", "student"])
def test_file_and_pipeline_are_one_model(folder, kind, request):
    file = request.getfixturevalue(kind)
    pipeline = load_pipeline(folder / "base", adapter=file, dtype="fp32")
    for name, expected in weights_of(file.parent / "pipeline").items():
        component, _, path = name.partition(".")
        assert torch.equal(getattr(pipeline, component).state_dict()[path].half(), expected)
    exported = load_traits(str(file.parent / "pipeline"))
    assert (exported.defaults, exported.takes_guidance) == (pipeline.traits.defaults, kind == "guidance")


def test_a_student_brings_its_sampling_defaults(folder, student):
    assert read_adapter(student).defaults == student_settings(folder).defaults
    names = load_file(student).keys()
    assert all(name.startswith(("unet.", "controlnet.")) and ".lora_" in name for name in names)


def test_a_folder_carries_an_adapter(folder, student, tmp_path):
    carrying = tmp_path / "carrying"
    copytree(folder / "base", carrying)
    (carrying / CARRIED).write_bytes(student.read_bytes())
    pipeline = load_pipeline(carrying, dtype="fp32")
    named = load_pipeline(folder / "base", adapter=student, dtype="fp32")
    assert pipeline.fingerprint() == named.fingerprint()
    assert pipeline.traits.defaults == named.traits.defaults
    assert pipeline.traits.defaults.steps == 4


@pytest.mark.parametrize("kind", [guidance_settings, student_settings])
def test_a_stopped_run_goes_on_to_the_same_bytes(folder, kind, request):
    request.getfixturevalue("guidance" if kind is guidance_settings else "student")
    settings = kind(folder)
    stopped = settings.model_copy(update={"output": folder / f"stopped {kind.__name__}"})
    train(stopped.model_copy(update={"steps": 2}))
    train(stopped)
    assert (stopped.output / ADAPTERS).read_bytes() == (settings.output / ADAPTERS).read_bytes()


def test_the_discriminator_learns_beside(folder):
    settings = student_settings(folder)
    learner = make_learner(settings, start_pipeline(settings))
    assert any(name.startswith("discriminator.") for name in learner.trained())
    latents = [torch.randn(1, 6, 3, 8, 8, requires_grad=True) for _ in range(3)]
    critic = LatentDiscriminator(6)
    student, own = critic.losses(*latents)
    (gradient,) = torch.autograd.grad(student, latents[0], retain_graph=True)
    assert gradient.any()
    assert torch.autograd.grad(student, list(critic.parameters()), allow_unused=True) == (None,) * 8
    assert torch.autograd.grad(own, latents[0], allow_unused=True) == (None,)


def test_the_plan_shows_what_an_adapter_brings(folder, student, tmp_path, capsys):
    clip = make_clip(tmp_path / "in.mp4", frames=3)
    model = ["--model", str(folder / "base")]
    main(["plan", str(clip), *model, "--adapter", str(student)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "its defaults: steps 4, solver ddim, guidance scale 1.0, start timestep 999" in shown
    assert "4 trailing steps of ddim from timestep 999" in shown
    main(["enhance", str(clip), str(tmp_path / "out.mp4"), *model, "--adapter", str(student), "--scale", "1"])
    assert (tmp_path / "out.mp4").is_file()


def metadata(**defaults):
    return {METADATA: json.dumps({"scale": 1, "defaults": defaults})}


def test_files_that_are_no_adapters(folder, student, tmp_path):
    values = load_file(student)
    some = next(name for name in values if "lora_A" in name)
    bad = {
        "is not an adapter file": b"no",
        "its metadata has no 'venhancer'": ({}, values),
        "it contains no low-rank pairs": (metadata(), {"a": values[some]}),
        "has wrong defaults: steps 0 is below 1": (metadata(steps=0), values),
        "does not fit this model": (metadata(), {some: values[some]}),
    }
    for message, content in bad.items():
        file = tmp_path / "bad.safetensors"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            save_file(content[1], file, metadata=content[0])
        with pytest.raises(WeightsError, match=message) as raised:
            load_pipeline(folder / "base", adapter=file)
        assert "\n" not in str(raised.value)
    pipeline = load_pipeline(folder / "base", dtype="fp32")
    before = pipeline.fingerprint()
    with pytest.raises(WeightsError):
        merge_adapters(pipeline, file)
    assert pipeline.fingerprint() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": {}}, "need each other"),
        ({"lora": {}}, "need each other"),
        ({"train": "controlnet", "lora": {}, "objective": {"finishing_target": "teacher"}}, "needs train: lora"),
        ({"objective": {"guidance_range": (4, 1)}}, "guidance_range goes from 4 to 1"),
    ],
)
def test_settings_that_contradict(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        guidance_settings(tmp_path, **changes)


@pytest.mark.parametrize("kind", [guidance_settings, student_settings])
def test_a_dry_run_counts_what_learns(folder, kind):
    settings = kind(folder)
    learner = make_learner(settings, start_pipeline(settings))
    learning = {name: p.numel() for name, p in learner.trained().items() if not name.startswith("discriminator.")}
    assert sum(run_cost(settings).trained.values()) == sum(learning.values())


@pytest.mark.parametrize(("recipe", "most"), [("guidance_distil_v2", 24e9), ("four_step_v2", 40e9)])
def test_students_of_v2_fit_their_gpus(recipe, most):
    cost = run_cost(TrainSettings.from_file(ROOT / "recipes" / f"{recipe}.yaml"))
    assert sum(cost.memory.values()) < most
    assert "GPU hours (predicted)" in dict(cost.describe())
    if recipe == "guidance_distil_v2":
        assert 0.019 < sum(cost.trained.values()) / cost.frozen["unet"] < 0.021


def test_errors_of_v_as_pixels(folder):
    """The weighted term is what decoding the error makes of it."""
    plain, weighted = (
        guidance_settings(folder, objective={"guidance_range": (2, 2), "velocity_pixel_weight": weight})
        for weight in (0.0, 3.0)
    )
    batch, losses = Batches(plain).group(0, 0), []
    for settings in (plain, weighted):
        learner = make_learner(settings, start_pipeline(settings))
        losses.append(learner(batch, generator_for(0, 0, 0, 1), 0, torch.tensor([600])).per_clip)
    assert (losses[1] > losses[0]).all()


@pytest.mark.parametrize(("kind", "how"), [("guidance", []), ("student", []), ("guidance", ["--adapter-apart"])])
def test_several_devices_make_the_bytes_of_one_with_an_adapter(folder, kind, how, request, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", width=40, height=32, rate=8, frames=8)
    flags = ["--model", str(folder / "base"), "--adapter", str(request.getfixturevalue(kind)), "--scale", "2"]
    flags += ["--window-frames", "4", "--no-shots", "--quiet", *how]
    for name, devices in (("one", ["--device", "cpu"]), ("two", ["--devices", "cpu,cpu"])):
        main(["enhance", str(clip), str(tmp_path / f"{name}.mp4"), *flags, *devices])
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
