"""Being told to stop: the first SIGTERM or Ctrl-C is a wish that the loop grants, a second Ctrl-C ends it at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

import torch
from accelerate import Accelerator

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.was_made = False

    def agreed(self, accelerator: Accelerator) -> bool:
        """Tell whether any process was asked to; all of them must call it and get the same answer."""
        if accelerator.num_processes == 1:
            return self.was_made
        asked = torch.tensor(float(self.was_made), device=accelerator.device)
        return bool(cast("torch.Tensor", accelerator.reduce(asked, "sum")) > 0)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Give the request that signals make within the block; outside the main thread there are no signals."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def ask(number: int, _: FrameType | None) -> None:
        request.was_made = True
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        logger.info("%s: stopping; what is done so far is being kept", signal.Signals(number).name)

    for number in _SIGNALS:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
