"""Scores of many videos: each is scored once, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.evaluation.paper.scoring import read_records, score_videos

METRICS = (metric_named("vbench_flicker"),)

SCORE = """
import sys
from pathlib import Path
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.evaluation.paper.scoring import score_videos
videos = sorted(Path(sys.argv[1]).iterdir())
shard = tuple(map(int, sys.argv[3].split("/")))
score_videos(videos, (metric_named("vbench_flicker"),), {}, Path(sys.argv[2]), shard=shard)
"""


@pytest.fixture
def videos(tmp_path) -> list[Path]:
    """Sixty tiny videos whose frames change by as much as their number."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(60):
        frames = np.zeros((2, 16, 16, 3), np.uint8)
        frames[1] = number
        write_lossless(folder / f"clip-{number}.mkv", frames, Fraction(8))
    return sorted(folder.iterdir())


def lines(records: Path) -> list[dict]:
    return [json.loads(line) for file in sorted(records.iterdir()) for line in file.read_text().splitlines()]


def test_kills_lose_nothing_and_no_video_is_scored_twice(videos, tmp_path):
    """Two processes are killed at any moment, then a third finishes: one whole record a video."""
    records = tmp_path / "records"
    for goal in (5, 25):
        process = subprocess.Popen([sys.executable, "-c", SCORE, str(videos[0].parent), str(records), "1/1"])
        while len(read_records(records)) < goal and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    scores, errors = score_videos(videos, METRICS, {}, records)
    assert errors == {}
    assert len(lines(records)) == 60
    for video in videos:
        number = int(video.stem.partition("-")[2])
        assert scores[video.name]["vbench_flicker"] == pytest.approx(1 - number / 255)


def test_a_record_cut_short_is_made_anew(videos, tmp_path):
    records = tmp_path / "records"
    score_videos(videos[:3], METRICS, {}, records)
    (file,) = records.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    scores, _ = score_videos(videos[:3], METRICS, {}, records)
    assert len(scores) == 3
    assert len(read_records(records)) == 3


def test_shards_share_the_work_and_read_each_others_records(videos, tmp_path):
    records = tmp_path / "records"
    first, _ = score_videos(videos[:9], METRICS, {}, records, shard=(1, 2))
    assert len(first) == 5
    both, _ = score_videos(videos[:9], METRICS, {}, records, shard=(2, 2))
    assert len(both) == 9
    assert len(lines(records)) == 9
    with pytest.raises(SettingsError, match="shard 3/2 cannot be; pass 1/2 to 2/2"):
        score_videos(videos, METRICS, {}, records, shard=(3, 2))


def test_a_video_that_cannot_be_read_is_named_and_tried_again(videos, tmp_path):
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(b"no video")
    scores, errors = score_videos([videos[0], bad], METRICS, {}, tmp_path / "records")
    assert list(scores) == [videos[0].name]
    assert "bad.mkv" in errors["bad.mkv"]
    bad.write_bytes(videos[1].read_bytes())
    scores, errors = score_videos([videos[0], bad], METRICS, {}, tmp_path / "records")
    assert (len(scores), errors) == (2, {})


def test_a_further_metric_scores_only_itself(videos, tmp_path):
    records = tmp_path / "records"
    score_videos(videos[:2], METRICS, {}, records)
    score_videos(videos[:2], (*METRICS, metric_named("niqe")), {}, records)
    assert [list(line["scores"]) for line in lines(records)] == [["vbench_flicker.1"]] * 2 + [[]] * 2
    _, errors = score_videos(videos[:2], (metric_named("niqe"),), {}, records)
    assert set(errors.values()) == {"niqe cannot be measured on it"}
