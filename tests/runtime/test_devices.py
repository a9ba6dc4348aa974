"""Choice of device and dtype."""

import sys

import pytest
import torch

from venhancer.errors import SettingsError
from venhancer.runtime.devices import choose_device, choose_dtype
from venhancer.runtime.processor import has_bfloat16


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
    with pytest.raises(SettingsError, match=r"is not on this machine; pass .*cpu or auto"):
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
        "this processor emulates bf16, which can take ten times as long as fp32; pass auto to use the faster format"
    ]
    choose_dtype("auto", torch.device("cpu"))
    assert len(caplog.records) == 1


def test_unknown_dtype_is_refused():
    with pytest.raises(SettingsError, match="dtype float8 is unknown; pass auto, bf16, fp16, fp32"):
        choose_dtype("float8", torch.device("cpu"))
