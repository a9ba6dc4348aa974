"""The README holds: its Python runs as it stands, its commands parse, what it names is there."""

import shlex

import pytest

from contracts.written import ROOT, blocks, commands, named_files
from media.clips import make_clip
from venhancer.cli.main import make_parser
from venhancer.media.reading.probe import probe

README = ROOT / "README.md"
PYTHON = blocks(README, "python")


@pytest.fixture
def clip_here(tmp_path, monkeypatch):
    """A current folder with a clip `in.mp4`: three frames of 32x24, eight a second."""
    make_clip(tmp_path / "in.mp4", width=32, height=24, rate=8, frames=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_example_writes_what_it_says(clip_here):
    names = {}
    exec(PYTHON[0], names)
    written = probe(clip_here / "out.mp4")
    assert (written.width, written.height, written.rate, written.frames) == (128, 96, 24, 9)
    assert names["report"].plan.sampling.prompt.startswith("a rabbit in a meadow, ")


def test_the_memory_example_returns_what_it_says(clip_here):
    names = {}
    exec(PYTHON[1], names)
    assert names["frames"].shape == (9, 96, 128, 3)
    assert [path.name for path in clip_here.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(("block", "script"), zip(PYTHON, ("enhance_file.py", "frames_in_memory.py"), strict=True))
def test_examples_are_the_same_as_in_the_readme(block, script):
    _, code = (ROOT / "examples" / script).read_text().split('"""\n\n')
    assert code == block


@pytest.mark.parametrize("command", commands(README, "venhancer"))
def test_commands_parse(command):
    arguments, unknown = make_parser().parse_known_args(shlex.split(command)[1:])
    assert not unknown
    assert arguments.run is not None


@pytest.mark.parametrize("command", commands(README, "make"))
def test_make_has_the_target(command):
    assert f"\n{command.split()[1]}: " in (ROOT / "Makefile").read_text()


def test_everything_it_names_is_there():
    assert [name for name, path in named_files(README) if not path.exists()] == []
