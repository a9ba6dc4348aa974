"""A craft that takes milliseconds: it copies bytes, and does what a clip's content tells it to do to the process."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from venhancer.errors import InputError, Stopped
from venhancer.fleet.items import Order
from venhancer.fleet.records import Made
from venhancer.fleet.worker import Setup
from venhancer.progress import Progress

SEGMENTS = 4


class Copying:
    """Makes an output of a source in four segments, of which finished ones are kept in scratch.

    A source may begin with `crash`, `hang`, `broken`, `full` or `slow`, and does that to whoever works on it.
    """

    def __init__(self, setup: Setup) -> None:
        self.weights = [{"file": "none", "sha256": "", "licence": "Apache-2.0"}]

    def refuse(self, source: Path) -> str:
        return "" if source.read_bytes()[:4] != b"text" else "no clip"

    def make(self, source: Path, target: Path, order: Order, *, stop: Callable[[], bool], progress: Progress) -> Made:
        content = source.read_bytes()
        word = content.split(b" ")[0]
        if word == b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif word == b"hang":
            time.sleep(3600)
        elif word == b"broken":
            raise InputError(f"{source} is damaged; copy it again")
        elif word == b"full":
            Path("/dev/full").write_bytes(b"x")
        progress.start(SEGMENTS, "copy")
        made = 0
        for number in range(SEGMENTS):
            part = target.with_name(f"segment_{number}")
            if not part.exists():
                time.sleep(0.3 if word == b"slow" else float(os.environ.get("FLEET_PACE", "0.001")))
                part.with_suffix(".part").write_bytes(content[number::SEGMENTS])
                part.with_suffix(".part").replace(part)
                note_segment(order.id, number)
                made += 1
            progress.advance()
            if stop() and number < SEGMENTS - 1:
                raise Stopped
        parts = [target.with_name(f"segment_{number}").read_bytes() for number in range(SEGMENTS)]
        whole = bytearray(len(content))
        for number, part in enumerate(parts):
            whole[number::SEGMENTS] = part
        target.write_bytes(bytes(whole))
        return Made(frames=SEGMENTS, seconds=0.0, facts={"segments_made": made})


def note_segment(item: str, number: int) -> None:
    """Note in the file named by the environment that a segment was made, to tell what is made twice."""
    if (path := os.environ.get("FLEET_SEGMENTS")) is not None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{item} {number}\n".encode())
        os.close(descriptor)
