"""What a run measures of itself for Prometheus: a text file for the node exporter, and Ray's own metrics.

The names are part of the interface; `docs/fleet.md` lists them.
"""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from venhancer.durable import write_whole
from venhancer.fleet.items import Item
from venhancer.fleet.ledger import STATES, State

CLIPS, FRAMES = "venhancer_fleet_clips", "venhancer_fleet_frames_total"
SECONDS, FAILURES = "venhancer_fleet_busy_seconds_total", "venhancer_fleet_failures_total"
HELP = {
    CLIPS: ("gauge", "Clips by state."),
    FRAMES: ("counter", "Output frames finished by this run."),
    SECONDS: ("counter", "Seconds that workers took for them."),
    FAILURES: ("counter", "Clips that failed or were put aside in this run."),
}
WRITTEN_EVERY = 2.0  # seconds


class Metrics:
    """A `venhancer.fleet.run.Watcher` that counts.

    Args:
        path: text file that is written again every few seconds; None writes none.
        on_ray: whether Ray's agents serve the same numbers.
    """

    def __init__(self, path: Path | None, *, on_ray: bool = False) -> None:
        self.path, self.on_ray = path, on_ray
        self.states: dict[str, State] = {}
        self.totals = dict.fromkeys((FRAMES, SECONDS, FAILURES), 0.0)
        self._gauges: dict[str, Any] = {}
        self._written = 0.0

    def begin(self, states: Mapping[str, State]) -> None:
        """Record the states of all items, by their ids."""
        self.states = dict(states)
        self._write()

    def tell(self, item: Item, state: State, reason: str, facts: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Record the outcome of an item, or that its work begins."""
        self.states[item.id] = state
        self.totals[FRAMES] += facts.get("frames") or 0
        self.totals[SECONDS] += facts.get("seconds") or 0.0
        self.totals[FAILURES] += state in ("failed", "quarantined")
        if time.monotonic() - self._written >= WRITTEN_EVERY:
            self._write()

    def progress(self, item: Item, values: Mapping[str, Any]) -> None:
        """Ignore progress on an item."""

    def close(self) -> None:
        """Write the last numbers."""
        self._write()

    def text(self) -> str:
        """Return the numbers as Prometheus reads them."""
        counts = Counter(self.states.values())
        lines = [f'{CLIPS}{{state="{state}"}} {counts[state]}' for state in STATES]
        values = {CLIPS: lines, **{name: [f"{name} {value:g}"] for name, value in self.totals.items()}}
        return "".join(
            f"# HELP {name} {text}\n# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in values[name])
            for name, (kind, text) in HELP.items()
        )

    def _write(self) -> None:
        self._written = time.monotonic()
        if self.path is not None:
            with suppress(OSError):  # numbers that nobody gets end no work
                write_whole(self.path, self.text())
        if self.on_ray:
            self._tell_ray()

    def _tell_ray(self) -> None:
        import ray
        from ray.util.metrics import Gauge

        if not ray.is_initialized():
            return
        for name, (_, text) in HELP.items():
            if name not in self._gauges:
                self._gauges[name] = Gauge(name, text, tag_keys=("state",) if name == CLIPS else ())
        counts = Counter(self.states.values())
        for state in STATES:
            self._gauges[CLIPS].set(counts[state], tags={"state": state})
        for name, value in self.totals.items():
            self._gauges[name].set(value)


class Watchers:
    """Several watchers told alike."""

    def __init__(self, *watchers: Any) -> None:  # noqa: ANN401 - of `venhancer.fleet.run.Watcher`, which is above
        self.watchers = watchers

    def begin(self, states: Mapping[str, State]) -> None:
        """Tell all how the items stand."""
        for watcher in self.watchers:
            watcher.begin(states)

    def tell(self, item: Item, state: State, reason: str, facts: Mapping[str, Any]) -> None:
        """Tell all what became of an item."""
        for watcher in self.watchers:
            watcher.tell(item, state, reason, facts)

    def progress(self, item: Item, values: Mapping[str, Any]) -> None:
        """Tell all how the work on an item goes on."""
        for watcher in self.watchers:
            watcher.progress(item, values)
