"""Stop requests: the first Ctrl-C is granted at the next good moment; a second ends the work at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether a stop was requested."""

    def __init__(self) -> None:
        self.was_made = False


@contextmanager
def stop_requests(tell: Callable[[str], None], wishes: tuple[signal.Signals, ...]) -> Iterator[StopRequest]:
    """Give the request that signals make within the block; outside the main thread there are no signals.

    Args:
        tell: is called once with the name of the signal.
        wishes: signals that request it. After one of them, Ctrl-C does again what it did before the block.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (*wishes, signal.SIGINT)}

    def ask(number: int, _: FrameType | None) -> None:
        request.was_made = True
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        tell(signal.Signals(number).name)

    for number in wishes:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
