"""A small decoder of the user's own."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from living import LivingTensors
from media.clips import make_clip
from tiny_model import make_image_model, randomised
from venhancer.cli.main import main
from venhancer.errors import SettingsError, WeightsError
from venhancer.model_files.traits import load_traits
from venhancer.models.tiny_decoder import REACH, TinyDecoder
from venhancer.planning.coding import tiny_decoding
from venhancer.planning.estimate import flops
from venhancer.planning.footprint import autoencoder_peaks
from venhancer.weights import load_pipeline


def decoder_of(*, remembers: bool = True) -> TinyDecoder:
    decoder = randomised(TinyDecoder(remembers=remembers))
    for name, values in decoder.named_parameters():
        values.data *= 0.7 if name.endswith("weight") else 0.1
    return decoder


def latents_of(frames: int) -> torch.Tensor:
    return torch.randn(1, 4, frames, 3, 5, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def decode(decoder: TinyDecoder, latents: torch.Tensor, boundary: torch.Tensor | None = None) -> torch.Tensor:
    return torch.stack(list(decoder.decode_each(latents, boundary)))


@torch.no_grad()
def all_at_once(decoder: TinyDecoder, latents: torch.Tensor) -> torch.Tensor:
    """Return the same another way: every layer over all frames, memory as the frames moved on by one."""
    x = latents[0].movedim(1, 0)
    for layer in decoder.decoder:
        if hasattr(layer, "conv"):
            earlier = F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0))[: len(x)]
            x = F.relu(layer.conv(torch.cat([x, earlier], dim=1)) + x)
        else:
            x = layer(x)
    return x * 2 - 1


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights as TAESDV's file names them."""
    path = tmp_path_factory.mktemp("decoder") / "tiny.safetensors"
    encoder = {"encoder.0.weight": torch.zeros(64, 3, 3, 3)}
    save_file({**decoder_of().state_dict(), **encoder}, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_image_model(tmp_path_factory.mktemp("image") / "model")


def test_names_and_shapes_are_those_of_the_published_files():
    shapes = {name: tuple(values.shape) for name, values in TinyDecoder(remembers=True).state_dict().items()}
    expected = {"decoder.1.weight": (64, 4, 3, 3), "decoder.1.bias": (64,)}
    for level in range(3):
        for block in range(3):
            place = f"decoder.{3 + 5 * level + block}.conv"
            expected |= {f"{place}.0.weight": (64, 128, 3, 3), f"{place}.0.bias": (64,)}
            expected |= {f"{place}.{layer}.weight": (64, 64, 3, 3) for layer in (2, 4)}
            expected |= {f"{place}.{layer}.bias": (64,) for layer in (2, 4)}
        expected[f"decoder.{7 + 5 * level}.weight"] = (64, 64, 3, 3)
    expected |= {f"decoder.18.conv.{layer}.weight": (64, 128 if layer == 0 else 64, 3, 3) for layer in (0, 2, 4)}
    expected |= {f"decoder.18.conv.{layer}.bias": (64,) for layer in (0, 2, 4)}
    expected |= {"decoder.19.weight": (3, 64, 3, 3), "decoder.19.bias": (3,)}
    assert shapes == expected


def test_one_frame_at_a_time_or_all_at_once():
    decoder, latents = decoder_of(), latents_of(5)
    assert_close(decode(decoder, latents), all_at_once(decoder, latents), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("split", [1, 4, 13])
def test_parts_are_the_whole(split):
    """To the last bit, also where a part is shorter than the memory."""
    decoder, latents = decoder_of(), latents_of(15)
    first, second = latents[:, :, :split], latents[:, :, split:]
    lead = decoder.lead(first, None)
    assert len(lead) == min(split, REACH)
    parts = torch.cat([decode(decoder, first), decode(decoder, second, lead)])
    assert torch.equal(parts, decode(decoder, latents))
    assert torch.equal(decoder.lead(second, lead), latents[0].movedim(1, 0)[-REACH:])


def test_memory_reaches_so_far_and_no_further():
    decoder, latents = decoder_of(), latents_of(REACH + 2)
    changed = latents.clone()
    changed[:, :, 0] += 1
    differs = (decode(decoder, latents) != decode(decoder, changed)).flatten(1).any(dim=1)
    assert differs[: REACH + 1].all()
    assert not differs[REACH + 1 :].any()


def test_without_memory_frames_are_on_their_own():
    decoder, latents = TinyDecoder.from_weights(decoder_of(remembers=False).state_dict()), latents_of(3)
    assert not decoder.remembers
    whole = decode(decoder, latents)
    assert whole.shape == (3, 3, 24, 40)
    assert torch.equal(whole[2:], decode(decoder, latents[:, :, 2:], latents[0].movedim(1, 0)[:2]))


@pytest.mark.parametrize("remembers", [True, False])
def test_names_with_and_without_the_decoder_before_them(remembers):
    weights = decoder_of(remembers=remembers).state_dict()
    bare = {name.removeprefix("decoder."): values for name, values in weights.items()}
    latents = latents_of(2)
    assert torch.equal(*(decode(TinyDecoder.from_weights(each), latents) for each in (weights, bare)))


def test_its_layers_are_those_that_torch_counts():
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        decode(decoder_of(), latents_of(1))
    assert sum(map(flops, tiny_decoding(3, 5))) == counted.get_total_flops()


def test_its_memory_is_what_it_holds(file):
    decoder = decoder_of()
    frames = decoder.decode_each(torch.randn(1, 4, 3, 16, 16))
    with torch.inference_mode(), LivingTensors(nn.ModuleList([decoder])) as living:
        for _ in frames:
            pass
    *_, peak = autoencoder_peaks(load_traits("v2", decoder=file), 16, 16, whole=16 * 16)
    assert sum(peak) == pytest.approx(living.most // 4, rel=0.1)


def test_an_output_in_segments_is_one(model, file, tmp_path, capsys):
    """What a segment hands on is enough; the plan and the result differ from the autoencoder's own."""
    clip = make_clip(tmp_path / "clip.mp4", width=32, height=24, rate=8, frames=14)
    flags = ["--model", str(model), "--decoder", f"tiny={file}", "--scale", "2", "--no-shots", "--codec", "ffv1"]
    main(["plan", str(clip), *flags])
    assert re.search(r"decoder\s+\S*tiny\.safetensors, tiny", " ".join(capsys.readouterr().out.split()))
    frames = np.random.default_rng(0).integers(0, 255, (14, 24, 32, 3), dtype=np.uint8)
    pipeline = load_pipeline(model, decoder=file, dtype="fp32")
    how = {"source_fps": 8, "scale": 2, "steps": 1, "start_noise": 0.0, "window_overlap": 0}
    one, several = (pipeline(frames, **how, window_frames=length) for length in (14, 7))
    assert pipeline.traits.decoder == file
    assert one.shape == several.shape
    plain = load_pipeline(model, dtype="fp32")
    assert pipeline.fingerprint() != plain.fingerprint()
    assert (plain(frames, **how, window_frames=14) != one).mean() > 0.5
    main(["enhance", str(clip), str(tmp_path / "out.mkv"), *flags, "--steps", "1", "--quiet"])
    assert (tmp_path / "out.mkv").exists()


def test_what_it_does_not_fit(model, file, tmp_path):
    with pytest.raises(SettingsError, match="and those of nano are others"):
        load_traits("nano", decoder=file)
    other = tmp_path / "other.safetensors"
    save_file({"decoder.1.weight": torch.zeros(3, 3)}, other)
    with pytest.raises(WeightsError, match="is not a tiny decoder"):
        load_pipeline(model, decoder=other)
    with pytest.raises(WeightsError, match="does not exist"):
        load_pipeline(model, decoder=tmp_path / "none.safetensors")
    assert load_file(file)


def test_the_flag_is_strict(model, file, tmp_path, capsys):
    clip = make_clip(tmp_path / "clip.mp4", width=32, height=24, rate=8, frames=3)
    with pytest.raises(SystemExit):
        main(["plan", str(clip), "--model", str(model), "--decoder", str(file)])
    assert "is not tiny=FILE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["plan", str(clip), "--model", "v2", "--decoder", f"tiny={file}", "--published"])
    assert "omit --decoder or --published" in capsys.readouterr().err
