"""How the system schedules this process, kept from libraries that would change it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Undo what a library does to the scheduling of this process.

    SVT-AV1 makes its threads, and the one that opens it, real-time where it may: as root, so in most containers. They
    and all their child processes would then go before everything else on the machine.
    """
    if not THREADS.is_dir():
        yield
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in THREADS.iterdir():
                with suppress(OSError):  # a thread may have ended
                    os.sched_setscheduler(int(thread.name), policy, parameter)
