"""Moments of 8 bits: what they need, what they weigh, and that a run with them goes on exactly."""

from importlib.util import find_spec

import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader

from training.prepared import make_clips, tiny_settings, weights_of
from venhancer.errors import SettingsError
from venhancer.training.checkpoints import list_checkpoints
from venhancer.training.cost import run_cost
from venhancer.training.learner import make_learner, make_optimizer
from venhancer.training.loop import train
from venhancer.training.start import start_pipeline


def test_a_quarter_of_the_memory(tmp_path):
    usual, small = (run_cost(tiny_settings(tmp_path, adam_bits=bits)) for bits in (32, 8))
    assert small.memory["moments"] * 4 == usual.memory["moments"]


def test_not_shared_out(tmp_path):
    with pytest.raises(ValueError, match="adam_bits: 8 cannot be sharded; set shard: false"):
        tiny_settings(tmp_path, adam_bits=8, shard=True)


@pytest.mark.skipif(find_spec("torchao") is not None, reason="torchao is installed")
def test_without_torchao(tmp_path):
    make_clips(tmp_path / "clips")
    settings = tiny_settings(tmp_path, adam_bits=8)
    learner = make_learner(settings, start_pipeline(settings))
    with pytest.raises(SettingsError, match=r"adam_bits: 8 needs torchao: run pip install 'venhancer\[eight-bit\]'"):
        make_optimizer(settings, learner)


@pytest.mark.slow  # torchao prints as it is imported, so that it is no part of the tested environment
@pytest.mark.filterwarnings("ignore")
def test_resume_is_exact(tmp_path):
    pytest.importorskip("torchao", reason="pip install torchao, whose moments these are")
    make_clips(tmp_path / "clips")
    with torch.compiler.set_stance("force_eager"):
        whole = weights_of(train(tiny_settings(tmp_path, adam_bits=8, output=tmp_path / "whole")))
        train(tiny_settings(tmp_path, adam_bits=8, steps=2))
        resumed = weights_of(train(tiny_settings(tmp_path, adam_bits=8)))
    usual = weights_of(train(tiny_settings(tmp_path, output=tmp_path / "usual")))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert any(not torch.equal(usual[name], whole[name]) for name in whole)
    kept = FileSystemReader(list_checkpoints(tmp_path / "whole" / "checkpoints")[-1]).read_metadata()
    assert any(name.endswith("exp_avg.codes") for name in kept.state_dict_metadata)
