"""Stopped, killed or out of room, the same command goes on, and the frames are those of a run nobody disturbed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from forked import MAIN, Forked
from media.clips import make_clip
from venhancer.cli.main import main
from venhancer.enhance import enhance_video
from venhancer.errors import InputError, Stopped
from venhancer.jobs.work import find_work
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "resume.py"
FRAMES = 40
SEND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
segments = 0
def watch(frame, event, _):
    global segments
    if event == "call" and frame.f_code.co_name == "denoise":
        segments += 1
        if segments == {segment}:
            sys.setprofile(None)
            for number in ({signals}):
                signal.raise_signal(number)
sys.setprofile(watch)
"""
"""Sends signals to the command at the very moment it begins to work on a segment, however busy the machine is."""
KINDS = {
    "h264": ("h264.mp4", []),
    "h264 with wavelet": ("wavelet.mp4", ["--color-fix", "wavelet"]),
    "hevc": ("hevc.mov", ["--codec", "hevc"]),
    "numbered pictures": ("frames/%05d.png", []),
    "webp": ("animated.webp", []),
    "gif": ("animated.gif", []),
}
"""Targets of kinds in which nothing is random, so that whole files can be compared."""
KILLED = """
import json, os, signal, sys
import venhancer.enhance, venhancer.weights
from venhancer.cli.main import main
def watch(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("segment_00001.mkv"):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
for target, words in json.loads(sys.argv[1]):
    number = os.fork()
    if number == 0:
        main(["enhance", "in.mp4", target, *words])
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(number, 0)[1]) == signal.SIGKILL, target
"""
"""Runs the command for each target in a process of its own, which is killed when its second segment is written but
not kept yet, however busy the machine is."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As many threads as in the processes started here: their number changes the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a clip and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    make_clip(folder / "in.mp4", width=32, height=24, rate=12, frames=FRAMES // 2, sound="aac")
    return folder


@pytest.fixture(scope="module")
def words(tiny_model) -> list[str]:
    """The command, but for its source and target."""
    asked = ["--model", str(tiny_model), "--scale", "1", "--fps", "24", "--codec", "ffv1"]
    asked += ["--window-frames", "4", "--window-overlap", "1"]
    return [*asked, "--device", "cpu", "--dtype", "fp32"]


@pytest.fixture(scope="module")
def expected(home, words) -> np.ndarray:
    main(["enhance", str(home / "in.mp4"), str(home / "out.mkv"), *words, "--quiet"])
    return frames_of(home / "out.mkv")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run some code and then `venhancer enhance in.mp4 out.mkv`, in a process of its own."""
    with Forked(tmp_path_factory.mktemp("streams")) as forked:
        yield lambda code, *words: forked.run(code + MAIN, "enhance", "in.mp4", "out.mkv", *words)


@pytest.fixture
def folder(home, tmp_path, monkeypatch) -> Path:
    (tmp_path / "in.mp4").write_bytes((home / "in.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(probe(path))))


def finished() -> int:
    work = find_work(Path("out.mkv"))
    assert work is not None
    return work.finished_frames


def goes_on(words: list[str], expected: np.ndarray, capsys) -> None:
    """See that the same command goes on, says so, makes the same frames and clears up."""
    done = finished()
    capsys.readouterr()
    main(["enhance", "in.mp4", "out.mkv", *words])
    shown = capsys.readouterr()
    assert shown.err == f"venhancer: resuming: {done} of {FRAMES} frames are finished in out.mkv.part\n"
    assert shown.out.startswith(f"wrote out.mkv (32x24, 24 fps, {FRAMES} frames) in ")
    assert np.array_equal(frames_of(Path("out.mkv")), expected)
    assert sorted(path.name for path in Path().iterdir()) == ["in.mp4", "out.mkv"]


def test_ctrl_c_once_finishes_the_segment(folder, words, expected, capsys, run):
    done = run(SEND.format(segment=2, signals="signal.SIGINT,"), *words)
    assert (done.returncode, done.stdout) == (130, "")
    stopping, stopped = done.stderr.splitlines()
    assert stopping.startswith(
        "venhancer: finishing this segment before stopping, which can take minutes; press Ctrl-C again"
    )
    kept = f"{finished()} of {FRAMES} frames are finished and kept in out.mkv.part"
    assert stopped == f"venhancer: stopped; {kept}; run the same command again to resume"
    assert len(find_work(Path("out.mkv")).parts) == 2
    goes_on(words, expected, capsys)


@pytest.mark.parametrize("signals", ["signal.SIGINT, signal.SIGINT", "signal.SIGTERM,"])
def test_ctrl_c_twice_and_sigterm_stop_at_once(folder, words, signals, run):
    done = run(SEND.format(segment=2, signals=signals), *words)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1].startswith("venhancer: stopped; ")
    assert len(find_work(Path("out.mkv")).parts) == 1


def test_stopped_before_the_first_segment_is_one_line_and_leaves_nothing(folder, words, run):
    done = run(SEND.format(segment=1, signals="signal.SIGTERM,"), *words)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "venhancer: stopped; nothing was written\n")
    assert [path.name for path in Path().iterdir()] == ["in.mp4"]


def test_a_full_disk_keeps_what_is_finished(folder, words, expected, capsys, home, run):
    """A limit on the size of files stands in for a disk that fills up while the result is put together."""
    most = (home / "out.mkv").stat().st_size // 2
    done = run(f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "could not be written; check its free space" in done.stderr
    assert (
        f"{FRAMES} of {FRAMES} frames are finished and kept in out.mkv.part; run the same command again to resume"
        in done.stderr
    )
    goes_on(words, expected, capsys)


@pytest.fixture
def unfinished(folder, words) -> None:
    """Work with one finished segment beside the target."""
    pipeline = load_pipeline(words[1], device="cpu", dtype="fp32")
    settings = parse_settings(model=words[1], scale="1", fps="24", codec="ffv1", window_frames=4, window_overlap=1)
    with pytest.raises(
        Stopped, match=rf"of {FRAMES} frames are finished and kept in out.mkv.part; run the same command again"
    ):
        enhance_video(Path("in.mp4"), Path("out.mkv"), pipeline, settings, stop=lambda: True)
    assert finished() > 0


@pytest.mark.usefixtures("unfinished")
def test_other_settings_and_another_input_are_refused(folder, words, capsys):
    def refused(*more: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main(["enhance", "in.mp4", "out.mkv", *words, *more])
        return capsys.readouterr().err

    advice = "; repeat that command to resume it, or pass --restart to discard it\n"
    begun = "venhancer: out.mkv.part holds work that was started differently"
    assert refused("--seed", "7") == f"{begun} (seed 0 then and 7 now){advice}"
    assert refused("--steps", "3", "--prompt", "a cat") == (
        f"{begun} (prompt none then and a cat now; steps none then and 3 now){advice}"
    )
    in_16_bits = refused("--dtype", "bf16").splitlines(keepends=True)[-1]
    assert in_16_bits == f"{begun} (number format float32 then and bfloat16 now; other weights){advice}"
    make_clip(folder / "in.mp4", width=32, height=24, rate=12, frames=FRAMES // 2 + 1)
    assert refused() == f"{begun} (another input){advice}"
    assert find_work(Path("out.mkv")) is not None
    main(["enhance", "in.mp4", "out.mkv", *words, "--restart", "--quiet"])
    assert probe(Path("out.mkv")).frames == FRAMES + 2


@pytest.mark.usefixtures("unfinished")
def test_plan_and_dry_run_tell_of_unfinished_work(words, capsys):
    settings = words[: words.index("--device")]
    said = f"resuming: {finished()} of {FRAMES} frames are finished in out.mkv.part"
    main(["plan", "in.mp4", "out.mkv", *settings])
    assert f"unfinished work     {said}\n" in capsys.readouterr().out
    main(["plan", "in.mp4", "other.mkv", *settings])
    assert "unfinished work     none\n" in capsys.readouterr().out
    main(["enhance", "in.mp4", "out.mkv", *words, "--dry-run"])
    assert said in capsys.readouterr().err
    assert finished() > 0


@pytest.mark.usefixtures("unfinished")
def test_the_report_counts_what_was_made_before(words):
    done = finished()
    main(["enhance", "in.mp4", "out.mkv", *words, "--quiet", "--json", "report.json"])
    report = json.loads(Path("report.json").read_text())
    assert report["frames_before"] == done
    assert report["seconds_per_frame"] == pytest.approx(report["seconds"] / (FRAMES - done), abs=0.001)


@pytest.mark.usefixtures("unfinished")
def test_progress_counts_what_is_left(words):
    class Counted:
        total = done = 0

        def start(self, total: int, what: str) -> None:
            self.total, self.done = total, 0  # of the stage under way; denoising is the last

        def advance(self) -> None:
            self.done += 1

    pipeline = load_pipeline(words[1], device="cpu", dtype="fp32")
    settings = parse_settings(model=words[1], scale="1", fps="24", codec="ffv1", window_frames=4, window_overlap=1)
    rest, whole = Counted(), Counted()
    enhance_video(Path("in.mp4"), Path("out.mkv"), pipeline, settings, progress=rest)
    enhance_video(Path("in.mp4"), Path("again.mkv"), pipeline, settings, progress=whole)
    assert 0 < rest.done == rest.total < whole.total


def test_an_input_that_is_changed_while_it_is_read_is_noticed(folder, words):
    def change() -> bool:
        with Path("in.mp4").open("ab") as file:
            file.write(b"\0\0\0\x08free")  # which changes no frame
        return False

    pipeline = load_pipeline(words[1], device="cpu", dtype="fp32")
    settings = parse_settings(model=words[1], scale="1", codec="ffv1", window_frames=4, window_overlap=1)
    with pytest.raises(InputError, match=r"in\.mp4.*chang"):
        enhance_video(Path("in.mp4"), Path("out.mkv"), pipeline, settings, stop=change)
    assert not Path("out.mkv").exists()


@pytest.fixture(scope="module")
def killed(home, words, tmp_path_factory) -> Path:
    """A folder in which a run on every kind of target was killed in its second segment."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "in.mp4").write_bytes((home / "in.mp4").read_bytes())
    chosen = [(target, [*plain(words), *more, "--quiet"]) for target, more in KINDS.values()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, json.dumps(chosen)]
    subprocess.run(command, cwd=folder, env=environment, timeout=600, check=True)
    return folder


def plain(words: list[str]) -> list[str]:
    """Return the command without its codec."""
    place = words.index("--codec")
    return [*words[:place], *words[place + 2 :]]


def content(target: Path) -> dict[str, bytes]:
    files = [target] if target.is_file() else sorted(target.parent.iterdir())
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_on_any_kind_of_target_ends_in_the_same_bytes(killed, words, tmp_path, monkeypatch, kind):
    """The encoders of finished segments and of those made again give one file, byte for byte."""
    target, more = KINDS[kind]
    monkeypatch.chdir(killed)
    begun = find_work(Path(target))
    assert begun is not None
    assert 0 < begun.finished_frames < FRAMES
    asked = [*plain(words), *more, "--quiet"]
    main(["enhance", "in.mp4", target, *asked])
    main(["enhance", "in.mp4", str(tmp_path / target), *asked])
    made, undisturbed = content(Path(target)), content(tmp_path / target)
    assert made.keys() == undisturbed.keys()
    assert [name for name in made if made[name] != undisturbed[name]] == []
    assert find_work(Path(target)) is None


def kill(count: int, folder: Path) -> dict:
    """Kill the demo's enhancement so many times, at random moments; see the benchmark."""
    output = folder / "resume.json"
    command = [sys.executable, str(BENCHMARK), "--kills", str(count), "--seed", str(count), "--output", str(output)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(output.read_text())
    assert result["all_equal"]
    assert len(result["kills"]) == count
    return result


def test_killed_at_random_moments(tmp_path):
    result = kill(6, tmp_path)
    assert "assembling" in [one["while"] for one in result["kills"]]


@pytest.mark.slow
def test_killed_at_thirty_random_moments(tmp_path):
    result = kill(30, tmp_path)
    assert result["jobs"] > 1
