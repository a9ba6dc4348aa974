"""A stand-in for the environment of VBench: an interpreter whose packages are found and started like the real ones."""

import sys
from pathlib import Path

RUN = """
import runpy, sys
assert sys.argv[1:4] == ["--standalone", "--nproc_per_node", "1"], sys.argv
sys.argv = sys.argv[4:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def make_vbench(python: Path, evaluate: str) -> Path:
    """Write an interpreter that knows a package `vbench` with this `launch/evaluate.py`, and PyTorch's launcher."""
    packages = python.parent / "packages"
    for name, content in {
        "vbench/__init__.py": "raise ImportError('nothing of it is imported')",
        "vbench/launch/evaluate.py": evaluate,
        "torch/__init__.py": "",
        "torch/distributed/__init__.py": "",
        "torch/distributed/run.py": RUN,
    }.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(content)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python
