"""How a fleet stands, for people: rows of a table, and a page of HTML that needs no server."""

import html
from collections.abc import Iterator
from pathlib import Path

from venhancer.durable import write_whole
from venhancer.fleet.ledger import STATES, State
from venhancer.fleet.status import FleetStatus

MOST_TROUBLES = 20
COLOURS: dict[State, str] = {
    "done": "#2a9d4b",
    "running": "#2b8cbe",
    "failed": "#e08214",
    "quarantined": "#c0392b",
    "skipped": "#aaa",
}
PAGE = """<!doctype html>
<meta charset="utf-8"><meta http-equiv="refresh" content="10"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui;margin:2em auto;max-width:60em;padding:0 1em}}
.bar{{display:flex;height:1.2em;background:#eee;border-radius:.3em;overflow:hidden}}
table{{border-collapse:collapse;margin-top:1em;width:100%}}td,th{{text-align:left;padding:.2em .8em .2em 0;
border-bottom:1px solid #ddd;vertical-align:top}}</style>
<h1>{title}</h1><div class="bar">{bar}</div><table>{rows}</table>
<table><tr><th>clip<th>state<th>tries<th>reason</tr>{troubles}</table>
"""


def describe_status(status: FleetStatus) -> Iterator[tuple[str, str]]:
    """Yield it as labels and values."""
    yield from describe_counts(status)
    for trouble in status.troubles[:MOST_TROUBLES]:
        yield trouble.id, f"{trouble.state} after {_times(trouble.tries)}: {trouble.reason}"
    if (more := len(status.troubles) - MOST_TROUBLES) > 0:
        yield "and", f"{more} more; --json shows all"


def describe_counts(status: FleetStatus) -> Iterator[tuple[str, str]]:
    """Yield how many items are in each state, who is at work, and how fast."""
    yield "clips", f"{status.items:,}"
    for state in STATES:
        if status.counts[state]:
            yield state, f"{status.counts[state]:,}"
    yield "frames done", f"{status.frames:,} in {format_seconds(status.busy)} of work"
    if status.runs:
        yield "at work", ", ".join(f"{host} on {running}" for host, running in status.runs)
    if status.speed:
        yield "speed", f"{status.speed:.2f} frames/s"
    if status.left is not None:
        yield "left", f"about {format_seconds(status.left)}"


def write_page(status: FleetStatus, path: Path, title: str) -> None:
    """Write it as a page that a browser loads anew every ten seconds.

    Raises:
        OSError: it cannot be written.
    """
    share = 100 / max(status.items, 1)
    bar = "".join(
        f'<div style="width:{share * status.counts[state]:.3f}%;background:{colour}" title="{state}"></div>'
        for state, colour in COLOURS.items()
    )
    rows = "".join(f"<tr><th>{_safe(label)}<td>{_safe(value)}</tr>" for label, value in describe_counts(status))
    troubles = "".join(
        f"<tr><td>{_safe(one.id)}<td>{one.state}<td>{one.tries}<td>{_safe(one.reason)}</tr>" for one in status.troubles
    )
    write_whole(path, PAGE.format(title=_safe(title), bar=bar, rows=rows, troubles=troubles))


def format_seconds(seconds: float) -> str:
    """Return seconds as "3 h 20 min", "5 min 12 s" or "8.4 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def _times(tries: int) -> str:
    return "1 try" if tries == 1 else f"{tries} tries"


def _safe(text: str) -> str:
    return html.escape(text.encode(errors="backslashreplace").decode())
