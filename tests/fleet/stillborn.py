"""Crafts that do not live to their first order."""

import os
import signal
import time
from pathlib import Path

from venhancer.fleet.worker import Setup


class Killed:
    """Is killed while it loads, and closes its files some time before it is gone."""

    def __init__(self, setup: object) -> None:
        os.closerange(0, 64)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)


class Silent:
    """Ends without a word."""

    def __init__(self, setup: object) -> None:
        os._exit(3)


class Forked:
    """Loads without end, and leaves a process behind that keeps its files open; notes it in the folder of outputs."""

    def __init__(self, setup: Setup) -> None:
        child = os.fork()
        if child:
            Path(setup.out, "child").write_text(f"{child}\n")
        time.sleep(3600)
