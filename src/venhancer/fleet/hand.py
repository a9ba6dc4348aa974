"""The process that does a worker's orders, for a clip may crash it, hang in it or eat its memory.

It reads one JSON value a line from its standard input, the setup first and then orders, and writes one a line: that it
is ready, how it goes on, and what became of an order. When its input ends, it ends, whatever it is at: so nothing goes
on for a run that is dead. All it and its libraries print goes to the log.
"""

import faulthandler
import json
import os
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from venhancer.errors import VEnhancerError
from venhancer.fleet.items import Order
from venhancer.fleet.worker import Craft, Setup, Worker

STOP = "stop"
TOLD_EVERY = 0.2  # seconds between what is told of progress


class ToldProgress:
    """Tells of progress, a line now and then.

    Args:
        channel: where to.
    """

    def __init__(self, channel: IO[str]) -> None:
        self.channel = channel
        self._told, self._steps, self._total, self._what = 0.0, 0, 0, ""

    def start(self, total: int, what: str) -> None:
        """Begin a stage of `total` steps."""
        self._steps, self._total, self._what, self._told = 0, total, what, 0.0
        self._tell()

    def advance(self) -> None:
        """Mark one step as done."""
        self._steps += 1
        self._tell()

    def _tell(self) -> None:
        if time.monotonic() - self._told >= TOLD_EVERY:
            self._told = time.monotonic()
            say(self.channel, {"steps": self._steps, "total": self._total, "what": self._what})


def say(channel: IO[str], value: object) -> None:
    """Write one value."""
    channel.write(json.dumps(value) + "\n")
    channel.flush()


def load_craft(setup: Setup) -> Craft:
    """Return what makes outputs, loaded."""
    module, _, name = setup.craft.partition(":")
    return getattr(import_module(module), name)(setup)


def main() -> None:
    """Do orders until there are no more."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which then asks its hands to stop
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1)
    orders: SimpleQueue[dict[str, Any]] = SimpleQueue()
    is_stopping: list[bool] = []
    setup = Setup.from_json(json.loads(sys.stdin.readline()))
    Thread(target=_listen, args=(orders, is_stopping), daemon=True).start()
    try:
        craft = load_craft(setup)
        worker = Worker(
            setup,
            craft,
            stop=lambda: bool(is_stopping),
            progress=ToldProgress(channel),
            tell_waiting=lambda: say(channel, {"what": "wait for the store"}),
        )
    except VEnhancerError as error:
        say(channel, {"unfit": str(error)})
        return
    say(channel, {"ready": True})
    while True:
        order = Order.from_json(orders.get())
        sys.stderr.flush()
        say(channel, worker.do(order).to_json())


def _listen(orders: "SimpleQueue[dict[str, Any]]", is_stopping: list[bool]) -> None:
    for line in sys.stdin:
        value = json.loads(line)
        if value == STOP:
            is_stopping.append(True)
        else:
            orders.put(value)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
