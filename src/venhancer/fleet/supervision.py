"""A worker seen from outside: its process is started, given orders, watched, and replaced when it dies or hangs.

Every engine does this on the machine where the work is done, so a clip that crashes or hangs costs a process there and
nothing else, and it is told apart from a process that was killed from outside: that is no fault of the clip.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from venhancer.fleet.hand import STOP
from venhancer.fleet.items import Order, Outcome
from venhancer.fleet.worker import Setup

LOADING = 1800.0  # seconds that a worker has to become ready
LOOKS = 1.0  # seconds between two looks whether anybody still wants an answer
LOG_BYTES = 64 * 1024  # of what a process said that are kept
MOST_LOG = 1 << 22
FROM_OUTSIDE = {-number for number in (9, signal.SIGTERM, signal.SIGINT, 1)}
"""Exit codes of processes that somebody, or a system short of memory, has ended: SIGKILL, SIGHUP and the like."""

Told = Callable[[Mapping[str, Any]], None]


class Supervisor:
    """Has orders done in a process of its own.

    Args:
        setup: of the worker.
        time_limit: seconds without any progress after which a clip counts as hanging.
        environment: variables of the process beside those of this one.
    """

    def __init__(self, setup: Setup, *, time_limit: float, environment: Mapping[str, str] | None = None) -> None:
        self.setup, self.time_limit = setup, time_limit
        self.environment = dict(environment or {})
        self.log = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 - lasts as long as this object
        self.process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._is_closed = False

    def do(self, order: Order, tell: Told = lambda _: None) -> Outcome:
        """Do an order and return its outcome.

        Args:
            order: what to do.
            tell: told how it goes on: steps, total, what.
        """
        if self._is_closed:
            return Outcome(key=order.key, end="returned")
        began = self.log.seek(0, os.SEEK_END)
        if began > MOST_LOG:
            began = self.log.truncate(0)
        unfit = self._be_ready()
        if unfit is not None:
            return Outcome(key=order.key, **unfit)
        try:
            self._say(order.to_json())
            while True:
                value = self._hear(self.time_limit)
                if "key" in value:
                    return self._with_log(Outcome.from_json(value), began)
                tell(value)
        except _HangingError:
            self._kill_hanging()
            slow = "pass a longer --time-limit if it was only slow"
            reason = f"it hung: no progress for {self.time_limit:g} s; {slow}"
            return Outcome(key=order.key, end="failed", reason=reason, log=self._said(began))
        except _DeadError:
            return self._post_mortem(order, began)

    def stop(self) -> None:
        """Ask the process to stop after this segment."""
        if self.process is not None:
            with contextlib.suppress(_DeadError, ValueError):
                self._say(STOP)

    def close(self) -> None:
        """End the process, and begin no other; the thread that waits for it notices that, and clears it away."""
        self._is_closed = True
        if (process := self.process) is not None:
            process.kill()

    def forget(self) -> None:
        """Close the log, when nobody works with this any more."""
        self._end_process()
        self.log.close()

    def _end_process(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()

    def _be_ready(self) -> dict[str, Any] | None:
        """Start the process if there is none; return how an order ends that it cannot begin with, None if it can."""
        if self.process is not None and self.process.poll() is None:
            return None
        self._end_process()
        self._rest, began = b"", self.log.seek(0, os.SEEK_END)
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", "venhancer.fleet.hand"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )
        if self._is_closed:
            process.kill()
        try:
            self._say(self.setup.to_json())
            value = self._hear(LOADING)
        except _HangingError:
            self._end_process()
            return {"end": "unfit", "reason": f"the worker does not start in {LOADING:g} s: {self._last_line(began)}"}
        except _DeadError:
            code = process.wait()
            self._end_process()
            if code in FROM_OUTSIDE:
                return {"end": "interrupted", "reason": "its worker was killed while it loaded the model"}
            return {"end": "unfit", "reason": f"the worker does not start: {self._last_line(began)}"}
        return {"end": "unfit", "reason": value["unfit"]} if "unfit" in value else None

    def _say(self, value: object) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise _DeadError from error

    def _hear(self, seconds: float) -> dict[str, Any]:
        """Return the next value that the process says."""
        assert self.process is not None
        assert self.process.stdout is not None
        descriptor, until = self.process.stdout.fileno(), time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left = until - time.monotonic()
                if selector.select(min(max(0.0, left), LOOKS)):
                    content = os.read(descriptor, 1 << 16)
                    if not content:
                        raise _DeadError
                    self._rest += content
                elif self._is_closed:
                    raise _DeadError
                elif left <= 0:
                    raise _HangingError
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def _kill_hanging(self) -> None:
        assert self.process is not None
        with contextlib.suppress(OSError, AttributeError):
            self.process.send_signal(signal.SIGUSR1)  # so that the log tells where it hangs
            time.sleep(0.2)
        self._end_process()

    def _post_mortem(self, order: Order, began: int) -> Outcome:
        """Return what became of an order whose process died."""
        assert self.process is not None
        code = self.process.wait()
        self._end_process()
        if code in FROM_OUTSIDE:
            return Outcome(key=order.key, end="interrupted", reason="its worker was killed, by the system or somebody")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return Outcome(key=order.key, end="failed", reason=f"it crashed its worker, {how}", log=self._said(began))

    def _with_log(self, outcome: Outcome, began: int) -> Outcome:
        if outcome.end != "failed":
            return outcome
        values = outcome.to_json()
        return Outcome.from_json({**values, "log": f"{self._said(began)}{outcome.log}"})

    def _said(self, began: int) -> str:
        """Return what the process has said since the log was so long, its end if that is much."""
        end = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(began, end - LOG_BYTES))
        return self.log.read().decode(errors="replace")

    def _last_line(self, began: int) -> str:
        lines = self._said(began).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")


class _DeadError(Exception):
    """The process has ended."""


class _HangingError(Exception):
    """The process says nothing."""
