"""What `venhancer doctor` shows: enough for a bug report, and nothing private."""

import getpass
import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def test_the_report_names_versions_devices_and_a_test_that_passed_and_no_path(tmp_path):
    environment = {**os.environ, "VENHANCER_CACHE": str(tmp_path / "secret"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "venhancer", "doctor"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert f"torch {version('torch')}" in rows["packages"]
    assert "VENHANCER_CACHE" in rows["variables set"]
    assert "h264" in rows["encoders"]
    assert rows["self test"].strip().startswith("passed: loaded in ")
    for private in (str(tmp_path), str(Path.home()), socket.gethostname()):
        assert private not in done.stdout
    assert f"/{getpass.getuser()}" not in done.stdout
    assert done.stderr == ""
