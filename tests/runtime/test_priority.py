"""How the system schedules a process, whatever encoders do to it."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from venhancer.media.writing.encoders import Encoding, why_not
print(why_not(Encoding(codec="av1", pixel_format="yuv420p", crf=30)), os.sched_getscheduler(0) == os.SCHED_OTHER)
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_OTHER"), reason="scheduling is Linux's")
def test_encoding_leaves_a_process_its_priority():
    """SVT-AV1, run as root, would make it real-time."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))" + PROGRAM],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", "True"]
