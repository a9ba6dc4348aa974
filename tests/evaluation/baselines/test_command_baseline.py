"""Any program joins by a line; what it does wrong is one clear line. The programs here are small Python scripts."""

import sys
from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import JobFailed, SettingsError
from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.baselines.command import CommandBaseline

KEY_FRAMES = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
REQUEST = Request(key_frames=KEY_FRAMES, rate=Fraction(25, 3), scale=2, factor=3)

READ = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing
source, target, fps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[5]
scale, factor = int(sys.argv[3]), int(sys.argv[4])
frames = np.stack(list(read_frames(probe(source))))
large = np.repeat(frames.repeat(scale, axis=1).repeat(scale, axis=2), factor, axis=0)[: (len(frames) - 1) * factor + 1]
codec = "ffv1" if target.suffix == ".mkv" else "h264"
writing = Writing(width=large.shape[2], height=large.shape[1], rate=Fraction(fps), codec=codec, crf=0)
write_video(target, iter(large), writing, None)
"""
PICTURES = """
import sys
from pathlib import Path
from PIL import Image
for n, file in enumerate(sorted(Path(sys.argv[1]).iterdir())):
    picture = Image.open(file)
    for step in range(3):
        picture.resize((96, 64), 0).save(Path(sys.argv[2]) / f"{3 * n + step:04d}.png")
"""


@pytest.fixture
def program(tmp_path):
    """Make a script and return the start of the command that runs it; its folder has a space in its name."""

    def make(code: str) -> str:
        file = tmp_path / "a folder" / "program.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
        return f'{sys.executable} "{file}"'

    return make


def test_frames_come_and_go_without_loss(program):
    baseline = CommandBaseline.parse(f"mine={program(READ)} {{input}} {{output}} {{scale}} {{factor}} {{fps}}")
    assert baseline.name == "mine"
    made = baseline(REQUEST)
    assert made.shape == (7, 64, 96, 3)
    np.testing.assert_array_equal(made[3, ::2, ::2], KEY_FRAMES[1])


def test_another_ending_may_be_asked_for(program):
    baseline = CommandBaseline.parse(f"mine={program(READ)} {{input}} {{output}}.mp4 {{scale}} {{factor}} {{fps}}")
    assert baseline(REQUEST).shape == (7, 64, 96, 3)


def test_folders_of_pictures_work_too_and_a_tail_is_cut(program):
    made = CommandBaseline.parse(f"mine={program(PICTURES)} {{input_frames}} {{output_frames}}")(REQUEST)
    assert made.shape == (7, 64, 96, 3)
    np.testing.assert_array_equal(made[3, ::2, ::2], KEY_FRAMES[1])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('no model here')", "ended with 1: no model here"),
        ("", "it wrote no output"),
        ("import sys, shutil; shutil.copy(*sys.argv[1:3])", "it made 3 frames of 48x32, not 7 frames of 96x64"),
        ("import sys; open(sys.argv[2], 'w').write('text')", "its output cannot be read"),
    ],
)
def test_what_a_program_does_wrong_is_one_line(program, code, message):
    with pytest.raises(JobFailed, match=message) as refused:
        CommandBaseline.parse(f"mine={program(code)} {{input}} {{output}}")(REQUEST)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cp {input} {output}", "is not"),
        ("mine=", "is not"),
        ("mine=cp {input}", r"must name \{input\} and \{output\}"),
        ("mine=cp {input} {output} {size}", r"unknown \{size\}; use input, output"),
        ("mine=no-such-program {input} {output}", "program no-such-program was not found"),
        ("mine=cp '{input} {output}", "close the quotes"),
    ],
)
def test_a_wrong_line_is_refused_before_any_work(text, message):
    with pytest.raises(SettingsError, match=message):
        CommandBaseline.parse(text)


def test_no_shell_reads_the_line(program, tmp_path):
    """A semicolon is a word like any other."""
    baseline = CommandBaseline.parse(f"mine={program('')} {{input}} {{output}} ; touch {tmp_path / 'made'}")
    with pytest.raises(JobFailed, match="wrote no output"):
        baseline(REQUEST)
    assert not (tmp_path / "made").exists()
