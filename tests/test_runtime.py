"""Choice of device and dtype, and noise that belongs to a frame."""

import sys

import pytest
import torch

from venhancer.errors import SettingsError
from venhancer.processor import has_bfloat16
from venhancer.runtime import choose_device, choose_dtype, frame_noise


def test_named_device_is_taken():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_the_processor_is_taken():
    assert choose_device("auto") == choose_device() == torch.device("cpu")
    assert choose_dtype("auto", torch.device("cpu")) == (torch.bfloat16 if has_bfloat16() else torch.float32)


@pytest.mark.gpu
def test_gpu_is_taken_if_there_is_one():
    assert choose_device("auto").type == "cuda"
    assert choose_dtype("auto", torch.device("cuda")) in {torch.bfloat16, torch.float16}


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cuda:x", "cpu:1", "", "gpu"])
def test_device_that_is_not_there_is_refused(device: str):
    with pytest.raises(SettingsError, match=r"is not on this machine, which has .*cpu; or pass auto"):
        choose_device(device)


@pytest.mark.parametrize(
    ("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)]
)
def test_named_dtype_is_taken(name: str, dtype: torch.dtype):
    assert choose_dtype(name, torch.device("cpu")) == dtype


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what the processor computes in")
@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 avx512_vnni\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n\nprocessor\t: 1\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx avx2 avx512f\nbugs\t\t: bf16\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
    ],
)
def test_the_processor_says_what_it_computes_in(tmp_path, text, has):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert has_bfloat16(file) is has
    assert has_bfloat16(tmp_path / "none") is False


@pytest.mark.skipif(has_bfloat16(), reason="this processor has the instructions")
def test_emulated_bfloat16_is_warned_of(caplog):
    choose_dtype("bf16", torch.device("cpu"))
    assert [record.message for record in caplog.records] == [
        "this processor emulates bf16, which can take ten times as long as fp32; auto takes the faster"
    ]
    choose_dtype("auto", torch.device("cpu"))
    assert len(caplog.records) == 1


def test_unknown_dtype_is_refused():
    with pytest.raises(SettingsError, match="dtype float8 is none of auto, bf16, fp16, fp32"):
        choose_dtype("float8", torch.device("cpu"))


def test_noise_belongs_to_seed_frame_and_draw():
    shape = (4, 18, 16)
    noise = frame_noise(7, 123, shape)
    assert noise.dtype == torch.float32
    assert torch.equal(noise, frame_noise(7, 123, shape))
    others = [
        frame_noise(8, 123, shape),
        frame_noise(7, 124, shape),
        frame_noise(71, 23, shape),
        frame_noise(7, 123, shape, 1),
    ]
    for other in others:
        correlation = torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1]
        assert abs(correlation) < 0.15


def test_noise_is_standard_normal():
    noise = torch.stack([frame_noise(0, frame, (4, 32, 32)) for frame in range(32)])
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_noise_leaves_global_randomness_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    frame_noise(0, 0, (8, 8))
    assert torch.equal(torch.rand(4), expected)


def test_noise_never_changes():
    """Files made with a seed can be made again with any later version."""
    first = frame_noise(0, 0, (4, 10, 8)).flatten()[:4]
    last = frame_noise(5, 1000, (4, 10, 8), 2).flatten()[-3:]
    assert first.tolist() == pytest.approx([-0.90077, 0.76986, 0.87037, -1.61152], abs=1e-5)
    assert last.tolist() == pytest.approx([0.48185, 0.21287, 0.47744], abs=1e-5)
