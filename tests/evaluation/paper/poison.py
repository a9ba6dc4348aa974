"""A craft that scores, and notes each score it is asked for; what a video is called is what it does to its worker."""

import os
import signal
import time
from pathlib import Path

from venhancer.evaluation.paper.scoring import Scoring
from venhancer.fleet.items import Order
from venhancer.fleet.records import Made

CRAFT = "evaluation.paper.poison:Poisoned"


class Poisoned(Scoring):
    """Scores videos but those that are called `crash` or `hang`, at the pace of the environment."""

    def make(self, source: Path, target: Path, order: Order, **how) -> Made:
        if source.name.startswith("crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        elif source.name.startswith("hang"):
            time.sleep(3600)
        time.sleep(float(os.environ.get("SCORE_PACE", "0")))
        made = super().make(source, target, order, **how)
        if (path := os.environ.get("SCORED")) is not None:
            with Path(path).open("a") as file:
                file.write(f"{order.id}\n")
        return made
