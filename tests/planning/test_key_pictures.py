"""Key frames of the user's own take the place of input frames, are told as what they are, and are kept."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from media.clips import make_clip, picture
from tiny_model import make_tiny_model
from venhancer.cli.main import main
from venhancer.conditioning import make_conditions, spread_key_frames
from venhancer.diffusion.schedule import Schedule
from venhancer.enhance import enhance_video, plan_video
from venhancer.errors import InputError, SettingsError, Stopped
from venhancer.frames.levels import psnr
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.models.controlnet import KeyFrames
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

WIDTH, HEIGHT = 64, 48


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "in.mp4", width=WIDTH // 2, height=HEIGHT // 2, rate=8, frames=8)


@pytest.fixture
def edited(tmp_path):
    """A picture as large as the output, of something else."""
    path = tmp_path / "edited.png"
    Image.fromarray(255 - picture(40, WIDTH, HEIGHT)).save(path)
    return path


def enhanced(clip, target, pipeline, **how) -> np.ndarray:
    settings = {"scale": 2, "fps": 16, "codec": "ffv1", "pix_fmt": "bgr0"} | how.pop("settings", {})
    enhance_video(clip, target, pipeline, parse_settings(**settings), **how)
    return np.stack(list(read_frames(probe(target))))


@pytest.mark.parametrize("noise", [0, 150])
def test_models_that_start_from_the_input_keep_the_picture_and_blend_it_into_the_next(clip, edited, tmp_path, noise):
    pipeline = load_pipeline("nano", device="cpu", dtype="fp32")
    settings = {"noise_augmentation": noise, "color_fix": "wavelet"}
    plain = enhanced(clip, tmp_path / "plain.mkv", pipeline, settings=settings)
    own = enhanced(clip, tmp_path / "own.mkv", pipeline, settings=settings, key_frames={3: edited})
    wanted = 255 - picture(40, WIDTH, HEIGHT)
    assert psnr(own[6:7], wanted[None]) > 45
    assert psnr(plain[6:7], wanted[None]) < 20
    changes = np.abs(own.astype(float) - plain).mean(axis=(1, 2, 3))
    assert changes[5] > 10  # between two key frames
    assert changes[7] > 10
    assert max(changes[0], changes[12]) < 2


def test_networks_are_told_of_a_clean_key_frame_of_full_size():
    keys = torch.randn(1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, False, True, False, False, True]])
    conditions = make_conditions(
        keys,
        mask,
        spread_key_frames(keys, mask, "repeat"),
        noise=torch.ones_like(keys),
        noise_augmentation=torch.tensor([200]),
        downscale_factor=torch.tensor([4.0]),
        schedule=Schedule(),
        is_own=torch.tensor([[False, True, False]]),
    )
    told = conditions.key_frames
    assert torch.equal(told.latents[:, :, 1], keys[:, :, 1])
    assert (told.latents[:, :, 0] - keys[:, :, 0]).abs().min() > 0
    assert told.noise_timesteps.tolist() == [[199, 0, 199]]
    assert told.downscale_factor.tolist() == [[4.0, 1.0, 4.0]]
    window = conditions.frames(range(2, 6)).key_frames
    assert (window.noise_timesteps.tolist(), window.downscale_factor.tolist()) == ([[0, 199]], [[1.0, 4.0]])


def test_each_key_frame_is_embedded_with_its_own_numbers(tmp_path):
    network = load_pipeline(str(make_tiny_model(tmp_path / "tiny")), device="cpu", dtype="fp32").controlnet
    mask = torch.tensor([[True, False, True]])
    latents = torch.zeros(1, 4, 2, 2, 2)

    def embeds(noise: list, factors: list) -> torch.Tensor:
        return network._embed_conditions(KeyFrames(latents, mask, torch.tensor(noise), torch.tensor(factors)))

    together, apart = embeds([7], [4.0]), embeds([[7, 7]], [[4.0, 4.0]])
    assert_close(together.expand_as(apart), apart)
    mixed = embeds([[7, 0]], [[4.0, 1.0]])
    assert_close(mixed[:, 0], together[:, 0])
    assert_close(mixed[:, 2], embeds([0], [1.0])[:, 0])
    assert not torch.allclose(mixed[:, 0], mixed[:, 2])


def test_the_plan_names_them_and_what_cannot_be_is_refused(clip, edited, tmp_path):
    settings = parse_settings(scale=2)
    plan = plan_video(clip, settings, key_frames={3: edited})
    assert dict(describe_plan(plan))["own key frames"] == f"{edited} for frame 3"
    assert [number for number in range(plan.frames) if plan.is_own(number)] == [3]
    with pytest.raises(SettingsError, match="is 64x48; make it as large as the output, 32x24"):
        plan_video(clip, parse_settings(scale=1), key_frames={3: edited})
    with pytest.raises(SettingsError, match="key frame 8 is not an input frame that the output shows"):
        plan_video(clip, settings, key_frames={8: edited})
    with pytest.raises(InputError, match="is not a single picture"):
        plan_video(clip, settings, key_frames={3: clip})
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 100)).save(clear)
    with pytest.raises(InputError, match="is transparent"):
        plan_video(clip, settings, key_frames={3: clear})


def test_unfinished_work_with_another_picture_is_not_resumed(clip, edited, tmp_path, tiny_model):
    pipeline, settings = load_pipeline(str(tiny_model), device="cpu", dtype="fp32"), parse_settings(scale=1)
    long = make_clip(tmp_path / "long.mp4", width=WIDTH, height=HEIGHT, rate=12, frames=60)
    with pytest.raises(Stopped):
        enhance_video(long, tmp_path / "out.mkv", pipeline, settings, key_frames={3: edited}, stop=lambda: True)
    with pytest.raises(InputError, match="key frames"):
        enhance_video(long, tmp_path / "out.mkv", pipeline, settings)
    Image.fromarray(picture(1, WIDTH, HEIGHT)).save(edited)
    with pytest.raises(InputError, match="key frames"):
        enhance_video(long, tmp_path / "out.mkv", pipeline, settings, key_frames={3: edited})


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["12"], "is not a frame and a picture"),
        (["=a.png"], "is not a frame and a picture"),
        (["1=a.png", "1=b.png"], "key-frame 1 is given twice"),
        (["1=missing.png"], "missing.png cannot be read"),
    ],
)
def test_the_flag_is_refused_in_one_line(clip, capsys, given, line):
    flags = [word for one in given for word in ("--key-frame", one)]
    with pytest.raises(SystemExit):
        main(["plan", str(clip), *flags])
    assert line in capsys.readouterr().err
