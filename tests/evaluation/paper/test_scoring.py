"""Scores of many videos by the fleet: each is scored once, whatever happens to runs, workers and videos."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from evaluation.paper.poison import CRAFT
from fleet.runs import environment_of_hands
from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.evaluation.paper.scoring import Crew, Unscored, score_videos
from venhancer.fleet.ledger import LEDGER
from venhancer.fleet.status import read_status
from venhancer.fleet.stores import Store

METRICS = (metric_named("vbench_flicker"),)

SCORE = """
import sys
from pathlib import Path
from evaluation.paper.poison import CRAFT
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.evaluation.paper.scoring import Crew, score_videos
videos, shard = sorted(Path(sys.argv[1]).iterdir()), tuple(map(int, sys.argv[3].split("/")))
crew = Crew(workers=2, craft=CRAFT)
score_videos(videos, (metric_named("vbench_flicker"),), {}, Path(sys.argv[2]), shard=shard, crew=crew)
"""


@pytest.fixture(autouse=True)
def _craft(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment_of_hands()["PYTHONPATH"])


@pytest.fixture
def videos(tmp_path) -> list[Path]:
    """Forty tiny videos whose frames change by as much as their number."""
    folder = tmp_path / "videos"
    folder.mkdir()
    return [make_video(folder / f"clip-{number:02d}.mkv", number) for number in range(40)]


def make_video(path: Path, change: int) -> Path:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[1] = change
    write_lossless(path, frames, Fraction(8))
    return path


def flicker(change: int) -> dict[str, float]:
    return {"vbench_flicker": pytest.approx(1 - change / 255)}


def scored(records: Path) -> Counter[str]:
    """How often ledgers say that an item was done."""
    lines = [line for file in (records / LEDGER).iterdir() for line in file.read_bytes().splitlines(keepends=True)]
    told = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return Counter(line["id"] for line in told if line["event"] == "done")


def start(videos: list[Path], records: Path, shard: str = "1/1") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCORE, str(videos[0].parent), str(records), shard])


def wait_for(count: int, records: Path, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and (not (records / LEDGER).exists() or scored(records).total() < count):
        time.sleep(0.01)


def test_kills_of_runs_and_workers_lose_nothing_and_no_video_is_scored_twice(videos, tmp_path, monkeypatch):
    """Of one run a worker is killed, of another all is; a third finishes."""
    monkeypatch.setenv("SCORE_PACE", "0.05")
    records = tmp_path / "records"
    process = start(videos, records)
    wait_for(5, records, process)
    psutil.Process(process.pid).children()[0].send_signal(signal.SIGKILL)
    wait_for(15, records, process)
    process.kill()
    process.wait()
    assert scored(records).total() < 40
    scores, unscored = score_videos(videos, METRICS, {}, records)
    assert unscored == []
    assert scores == {video.name: flicker(number) for number, video in enumerate(videos)}
    assert scored(records) == {f"{video.name} vbench_flicker": 1 for video in videos}


def test_a_video_that_crashes_hangs_or_is_none_is_put_aside_with_its_reason(videos, tmp_path):
    records = tmp_path / "records"
    crash = make_video(tmp_path / "crash-0.mkv", 1)
    hang = make_video(tmp_path / "hang-0.mkv", 1)
    bad = tmp_path / "bad-0.mkv"
    bad.write_bytes(b"no video")
    crew = Crew(craft=CRAFT)
    metrics = (*METRICS, metric_named("patch_grid"))
    scores, unscored = score_videos([videos[0], crash, bad], metrics, {}, records, crew=crew)
    assert list(scores) == [videos[0].name]
    names = ("vbench_flicker", "patch_grid")
    assert unscored[0] == Unscored("crash-0.mkv", names, "it crashed its worker, by SIGSEGV")
    assert (unscored[1].video, unscored[1].metrics) == ("bad-0.mkv", names)
    assert "bad-0.mkv" in unscored[1].reason
    _, unscored = score_videos([hang], METRICS, {}, records, crew=Crew(craft=CRAFT, time_limit=2))
    assert unscored[0].reason.startswith("it hung: no progress for 2 s; pass a longer --time-limit")
    status = read_status(Store(str(records)))
    assert (status.counts["done"], status.counts["quarantined"]) == (2, 5)

    again = Crew(retry_quarantined=True)  # by a craft that nothing poisons
    bad.write_bytes(videos[1].read_bytes())
    scores, unscored = score_videos([videos[0], crash, bad, hang], METRICS, {}, records, crew=again)
    assert (len(scores), unscored) == (4, [])


def test_what_was_put_aside_is_left_alone(videos, tmp_path):
    bad = tmp_path / "bad-0.mkv"
    bad.write_bytes(b"no video")
    first = score_videos([bad], METRICS, {}, tmp_path / "records")
    ledgers = sorted((tmp_path / "records" / LEDGER).iterdir())
    assert score_videos([bad], METRICS, {}, tmp_path / "records") == first
    assert sorted((tmp_path / "records" / LEDGER).iterdir()) == ledgers


def test_a_further_metric_scores_only_itself_and_a_changed_video_anew(videos, tmp_path, monkeypatch):
    monkeypatch.setenv("SCORED", str(tmp_path / "scored"))
    records, crew = tmp_path / "records", Crew(craft=CRAFT)
    two, further = videos[:2], (*METRICS, metric_named("patch_grid"))
    score_videos(two, METRICS, {}, records, crew=crew)
    scores, _ = score_videos(two, further, {}, records, crew=crew)
    assert [list(of) for of in scores.values()] == [["vbench_flicker", "patch_grid"]] * 2
    make_video(two[0], 40)
    scores, _ = score_videos(two, METRICS, {}, records, crew=crew)
    assert scores == {two[0].name: flicker(40), two[1].name: flicker(1)}
    first, second = (video.name for video in two)
    expected = [(first, "vbench_flicker"), (second, "vbench_flicker"), (first, "patch_grid"), (second, "patch_grid")]
    told = [tuple(line.split()) for line in (tmp_path / "scored").read_text().splitlines()]
    assert told == [*expected, (first, "vbench_flicker")]


def test_shards_at_once_share_the_work_and_read_each_others_scores(videos, tmp_path):
    records = tmp_path / "records"
    processes = [start(videos, records, shard) for shard in ("1/2", "2/2")]
    assert [process.wait() for process in processes] == [0, 0]
    assert scored(records) == {f"{video.name} vbench_flicker": 1 for video in videos}
    scores, _ = score_videos(videos, METRICS, {}, records, shard=(2, 2))
    assert len(scores) == 40
    with pytest.raises(SettingsError, match="shard 3/2 cannot be; pass 1/2 to 2/2"):
        score_videos(videos, METRICS, {}, records, shard=(3, 2))


def test_one_shard_alone_scores_its_part(videos, tmp_path):
    scores, _ = score_videos(videos[:9], METRICS, {}, tmp_path / "records", shard=(1, 2))
    assert list(scores) == [video.name for video in videos[:9:2]]


def test_other_weights_score_anew_and_broken_ones_end_the_run(videos, tmp_path):
    """Weights are told by their content; what they are for is the metric's matter."""
    weights = tmp_path / "musiq_spaq.pth"
    weights.write_bytes(b"none")
    imaging = metric_named("imaging_quality")
    with pytest.raises(JobFailed, match=r"musiq_spaq\.pth.*; fix that, then run the same command again"):
        score_videos(videos[:1], (imaging,), {imaging.weights_key: weights}, tmp_path / "records")
    assert not scored(tmp_path / "records")
    with pytest.raises(InputError, match="cannot be read"):
        score_videos(videos[:1], (imaging,), {imaging.weights_key: tmp_path / "gone"}, tmp_path / "records")


def test_a_number_that_is_none_is_refused(videos, tmp_path):
    with pytest.raises(SettingsError, match="0 workers cannot be; pass --workers 1 or more"):
        score_videos(videos, METRICS, {}, tmp_path, crew=Crew(workers=0))
    with pytest.raises(SettingsError, match="time limit 0 s cannot be"):
        score_videos(videos, METRICS, {}, tmp_path, crew=Crew(time_limit=0))


def test_videos_are_scored_in_this_process_on_windows(videos, tmp_path, windows):
    scores, _ = score_videos(videos[:2], METRICS, {}, tmp_path / "records")
    assert scores == {video.name: flicker(number) for number, video in enumerate(videos[:2])}
