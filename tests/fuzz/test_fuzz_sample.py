"""A few of the broken files of `make fuzz`, and what mutations and outcomes are worth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fuzz.mutations import MUTATIONS, mutate
from fuzz.run import cases, resumed, run
from fuzz.seeds import CLIPS, SEEDS, make_canary, make_seeds


@pytest.fixture(scope="session")
def seeds(tmp_path_factory) -> list[Path]:
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def test_broken_files_end_in_success_or_one_line(tmp_path):
    """Forty files, each another one broken in another way, and six of them the whole way."""
    chosen = cases(list(SEEDS), 400)[len(SEEDS) + 7 :: 9]
    found = list(run(chosen, 1, tmp_path, None, workers=2))
    assert len(found) >= 40
    assert [one for one in found if one["result"] not in ("success", "refused")] == []
    assert {"success", "refused"} == {one["result"] for one in found}
    assert sum(one["is_enhanced"] for one in found) >= 6


def test_cases_are_the_same_every_time(seeds, tmp_path_factory):
    again = make_seeds(tmp_path_factory.mktemp("again"))
    assert [path.read_bytes() for path in seeds] == [path.read_bytes() for path in again]
    content = seeds[0].read_bytes()
    for kind in MUTATIONS:
        assert mutate(content, kind, 3, 5) == mutate(content, kind, 3, 5)
        assert len({mutate(content, kind, 3, number) for number in range(9)}) > 2


def test_cases_cover_every_mutation_of_every_file():
    chosen = cases(list(SEEDS), len(SEEDS) * len(MUTATIONS))
    assert {(case.source, case.kind) for case in chosen if case.kind != "none"} == {
        (name, kind) for name in SEEDS for kind in MUTATIONS
    }
    assert len({Path(name).suffix for name in CLIPS}) >= 8
    enhanced = {(case.source, case.kind) for case in cases(list(SEEDS), 5 * len(chosen)) if case.is_enhanced}
    assert enhanced >= {(case.source, case.kind) for case in chosen}
    many = [case for case in cases(list(SEEDS), 2000) if case.is_enhanced and case.kind != "none"]
    assert len(many) == 400
    assert {case.source for case in many} == {*SEEDS}


def test_interrupted_run_goes_on(tmp_path):
    chosen, journal = cases(list(SEEDS), 1)[-4:], tmp_path / "journal"
    found = resumed(chosen, 3, tmp_path / "whole", tmp_path, 1, journal)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], json.dumps({**json.loads(lines[1]), "result": "crash"}), ""]))
    again = resumed(chosen, 3, tmp_path / "again", tmp_path, 1, journal)
    outcomes = [[(one["number"], one["result"]) for one in some] for some in (found, again)]
    assert outcomes[0] == outcomes[1]
    assert journal.read_text().splitlines()[0] == lines[0]
    assert len(journal.read_text().splitlines()) == 1 + 1 + 3


def test_mutations_take_the_smallest_file():
    for kind in MUTATIONS:
        for number in range(20):
            mutate(b"\0", kind, 0, number)
            mutate(np.random.default_rng(number).bytes(3), kind, 0, number)


def worker(tmp_path: Path, code: str, path: Path) -> dict[str, object]:
    """Return the outcome of a file in a process where some code runs first."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "outputs").mkdir()
    (tmp_path / "case").mkdir()
    make_canary(tmp_path)
    tests = str(Path(__file__).parents[1])
    moved = path.rename(tmp_path / "case" / path.name)
    program = f"import os\nos.environ['TMPDIR'] = {str(tmp_path / 'temporary')!r}\nimport fuzz.trial as it\n{code}\n"
    line = json.dumps({"path": str(moved), "folder": str(tmp_path / "outputs"), "enhance": False})
    done = subprocess.run(
        [sys.executable, "-c", f"{program}it.work()"], input=line, capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("", "success"),
        ("def probe(path): raise RuntimeError\nit.probe = probe", "traceback"),
        ("def probe(path): raise it.VEnhancerError('two\\nlines')\nit.probe = probe", "not one line"),
        ("def read(clip): os.write(2, b'libav says'); return []\nit.read_frames = read", "complaint"),
        ("def read(clip): os.dup(0); return []\nit.read_frames = read", "left something"),
        ("def read(clip): os.mkdir(os.environ['TMPDIR'] + '/a'); return []\nit.read_frames = read", "left something"),
        ("def read(clip): return it.Path('canary.ts').read_bytes()\nit.read_frames = read", "opened another file"),
        ("import warnings\ndef read(clip): warnings.warn('old'); return []\nit.read_frames = read", "traceback"),
        ("it.command_line = lambda words: print('half a line', file=it.sys.stderr) or it.sys.exit(1)", "complaint"),
    ],
)  # fmt: skip
def test_what_must_not_happen_is_noticed(tmp_path, code, result):
    path = SEEDS["mpeg4.avi"](tmp_path / "mpeg4.avi")
    assert worker(tmp_path, code, path)["result"] == result
