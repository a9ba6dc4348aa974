"""Being told to stop while training: SIGTERM and Ctrl-C are wishes that all processes grant together."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from accelerate import Accelerator

from venhancer.jobs import stopping

logger = logging.getLogger(__name__)


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __init__(self, here: stopping.StopRequest) -> None:
        self.here = here

    def agreed(self, accelerator: Accelerator) -> bool:
        """Tell whether any process was asked to; all of them must call it and get the same answer."""
        if accelerator.num_processes == 1:
            return self.here.was_made
        asked = torch.tensor(float(self.here.was_made), device=accelerator.device)
        return bool(cast("torch.Tensor", accelerator.reduce(asked, "sum")) > 0)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Give the request that the first SIGTERM or Ctrl-C makes within the block; a second Ctrl-C ends it at once."""

    def tell(name: str) -> None:
        logger.info("%s: stopping; what is done so far is being kept", name)

    with stopping.stop_requests(tell, (signal.SIGTERM, signal.SIGINT)) as request:
        yield StopRequest(request)
