"""Pictures as input and output by the command line: the whole way, stopped and gone on with, and every refusal."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from media.clips import make_clip, picture
from venhancer.cli.main import main
from venhancer.fleet.ledger import Ledger
from venhancer.fleet.stores import Store
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames

WIDTH, HEIGHT, MANY = 32, 24, 40
KILLED = """
import os, signal, threading, time
def kill():
    manifest = "out.mkv.part/manifest.json"
    while not (os.path.exists(manifest) and "segment_00000" in open(manifest).read()):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill, daemon=True).start()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """As many threads as in the process started here: their number changes the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny(tiny_model) -> list[str]:
    return ["--model", str(tiny_model), "--scale", "1", "--device", "cpu"]


def still(path: str, number: int = 3, **options) -> None:
    Image.fromarray(picture(number, WIDTH, HEIGHT)).save(path, **options)


def numbered(name: str, count: int = 5) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    for number in range(count):
        still(name % number, number)


def refusal(capsys, *words: str) -> str:
    """Return the one line that refuses a command, which leaves everything as it was."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert sorted(Path().rglob("*")) == before
    return said.err


def test_deep_numbered_pictures_become_deep_numbered_pictures(tiny, capsys):
    """The model is a tiny one of noise, so its colours are fixed to the input's, which it keeps on the whole."""
    Path("in").mkdir()
    levels = np.linspace(9000, 50000, WIDTH * HEIGHT * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint16)
    for number in range(3, 7):
        cv2.imwrite(f"in/{number:03d}.png", levels + number)
    main(["plan", "in/%03d.png", "out/%04d.png", *tiny, "--input-fps", "23.976"])
    shown = capsys.readouterr().out
    assert "assumed to be 23.976 a second" in shown
    assert "4 frames" in shown
    assert "not kept" not in shown
    main(["enhance", "in/%03d.png", "out/%04d.png", *tiny, "--input-fps", "12", "--fps", "24", "--quiet"])
    assert sorted(path.name for path in Path("out").iterdir()) == [f"{n:04d}.png" for n in range(1, 9)]
    made = cv2.imread("out/0001.png", cv2.IMREAD_UNCHANGED)
    assert (made.dtype, made.shape) == (np.uint16, (HEIGHT, WIDTH, 3))
    assert len(np.unique(made & 255)) > 100  # all sixteen bits are used
    assert probe(Path("out/%04d.png")).depth == 16


def test_a_photograph_becomes_a_larger_one_by_nano(capsys):
    exif = Image.Exif()
    exif[274], exif[305] = 6, "a camera"
    still("photo.jpg", exif=exif, quality=95)
    main(["plan", "photo.jpg", "out.png", "--scale", "2"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "photo.jpg: 24x32, one picture, jpeg" in shown
    assert "upright, as players show it: rotated by 270 degrees anticlockwise" in shown
    assert "not kept text" in shown
    main(["enhance", "photo.jpg", "out.png", "--scale", "2", "--device", "cpu"])
    assert "the output will lose: text" in capsys.readouterr().err
    with Image.open("out.png") as made, Image.open("photo.jpg") as given:
        assert (made.size, made.mode) == ((48, 64), "RGB")
        small = np.asarray(made.resize((24, 32), Image.Resampling.BOX)).astype(int)
        assert np.abs(small - np.rot90(np.asarray(given), -1)).mean() < 12
    assert [path.name for path in Path().iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize("target", ["out.mp4", "out.webp", "out.tif", "out/%d.png"])
def test_one_picture_goes_into_any_kind_of_file(tiny, target):
    still("in.png")
    main(["enhance", "in.png", target, *tiny, "--fps", "10", "--quiet"])
    clip = probe(Path(target))
    assert (clip.frames, clip.width, clip.height) == (1, WIDTH, HEIGHT)
    if target == "out.mp4":
        assert clip.rate == 10


def test_an_animation_keeps_its_times(tiny):
    first, *others = (Image.fromarray(picture(number, WIDTH, HEIGHT)) for number in range(4))
    first.save("in.webp", save_all=True, append_images=others, duration=[50, 200, 50, 100])
    main(["enhance", "in.webp", "out.mkv", *tiny, "--quiet"])
    clip = probe(Path("out.mkv"))
    assert [round(clip.frame_time(number) * 1000) for number in range(5)] == [0, 50, 250, 300, 400]


@pytest.mark.usefixtures("_one_thread")
def test_a_killed_run_over_pictures_goes_on(tiny, capsys):
    numbered("in/%03d.png", MANY)
    words = [*tiny, "--fps", "48", "--codec", "ffv1", "--quiet"]
    main(["enhance", "in/%03d.png", "whole.mkv", *words])
    code = f"{KILLED}\nimport sys\nfrom venhancer.cli.main import main\nmain(sys.argv[1:])"
    command = [sys.executable, "-c", code, "enhance", "in/%03d.png", "out.mkv", *words]
    killed = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False)
    assert killed.returncode == -9
    kept = json.loads(Path("out.mkv.part/manifest.json").read_text())
    assert kept["parts"]
    assert not Path("out.mkv").exists()
    capsys.readouterr()
    before = Path("in/007.png").read_bytes()
    still("in/007.png", 8)
    assert "another input" in refusal(capsys, "enhance", "in/%03d.png", "out.mkv", *words)
    Path("in/007.png").write_bytes(before)
    still(f"in/{MANY:03d}.png")
    assert "another input" in refusal(capsys, "enhance", "in/%03d.png", "out.mkv", *words)
    Path(f"in/{MANY:03d}.png").unlink()
    assert "input fps" in refusal(capsys, "enhance", "in/%03d.png", "out.mkv", *words, "--input-fps", "25")
    main(["enhance", "in/%03d.png", "out.mkv", *words])
    for one, other in zip(read_frames(probe(Path("whole.mkv"))), read_frames(probe(Path("out.mkv"))), strict=True):
        assert np.array_equal(one, other)


def test_what_cannot_be_is_refused_in_a_line(tiny, capsys):
    numbered("in/%d.png")
    still("one.png")
    make_clip(Path("film.mp4"), width=WIDTH, height=HEIGHT, frames=4)
    glass = Image.fromarray(picture(5, WIDTH, HEIGHT)).convert("RGBA")
    glass.putpixel((3, 3), (0, 0, 0, 128))
    glass.save("glass.png")
    cases = {
        ("film.mp4", "out.mp4", "--input-fps", "12"): "is for numbered pictures, which film.mp4 is not",
        ("one.png", "out.mp4", "--input-fps", "12"): "is for numbered pictures, which one.png is not",
        ("one.png", "out.png", "--slow", "2"): "slow 2 needs a video: one.png is one picture",
        ("one.png", "out.png", "--start", "1"): "start 1 is after the last frame",
        ("one.png", "one.png", "--overwrite"): "one.png is the source itself",
        (
            "in/%d.png",
            "out.png",
        ): "out.png is one picture, but the output has 5 frames; use a pattern such as frames/%05d.png",
        ("in/%d.png", "in/%d.png"): "in exists and is not empty",
        ("in/%d.png", "in/7.png", "--end", "0.01"): "in/7.png matches the pictures of %d.png",
        ("in/%d.png", "out.mp4", "--input-fps", "0"): "input_fps 0 is not above 0",
        ("in/%s.png", "out.mp4"): "in/%s.png has no number pattern",
        ("glass.png", "out.png"): "glass.png is transparent; transparency cannot be kept: pass --background",
        ("in", "out"): "in contains pictures only; pass numbered pictures as one clip, in/%d.png",
    }
    for words, wanted in cases.items():
        assert wanted in refusal(capsys, "enhance", *words, *tiny)
    assert "in is a folder; pass a file, or numbered pictures as in/%05d.png" in refusal(capsys, "plan", "in")
    main(["enhance", "glass.png", "out.png", *tiny, "--background", "black", "--quiet"])
    assert Path("out.png").exists()


def test_a_folder_passes_pictures_over_and_takes_animations(tiny, capsys):
    Path("in").mkdir()
    still("in/a.png")
    still("in/b.webp")
    images = [Image.fromarray(picture(number, WIDTH, HEIGHT)) for number in range(3)]
    images[0].save("in/c.webp", save_all=True, append_images=images[1:], duration=40)
    main(["enhance", "in", "out", *tiny, "--quiet"])
    ledger = Ledger(Store("out"))
    ledger.refresh()
    known = ledger.newest()
    assert {name: standing.state(ledger.lives) for name, standing in known.items()} == {
        "a.png": "skipped", "b.webp": "skipped", "c.webp": "done",
    }  # fmt: skip
    assert "pass it by itself" in known["b.webp"].reason
    assert probe(Path("out/c.webp")).frames == 3
