"""A job as HTML: how far it is, and when it is finished, what it made beside what it was made from.

All text of users is escaped here. Files are named by address, relative to the page; nothing comes from elsewhere.
"""

import json
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from html import escape
from importlib.resources import files
from string import Template
from typing import Literal

from venhancer.errors import VEnhancerError
from venhancer.page.form import command_of
from venhancer.serving.outlook import format_seconds
from venhancer.serving.record import AFTER, BEFORE, COMPARISON, LATEST, REPORT, SEAMS, STILLS, STRIP, JobRecord
from venhancer.serving.store import JobStore
from venhancer.serving.telling import Told
from venhancer.settings import EnhanceSettings

WORDS = {
    "queued": "waiting",
    "working": "at work",
    "paused": "paused",
    "finished": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
}


def style() -> str:
    """Return the style sheet of the page."""
    return _asset("page.css")


def script(name: Literal["compare", "names", "refusals"]) -> str:
    """Return what makes comparisons work, names controls, or tells them why their values are refused."""
    return _asset(f"{name}.js")


def _asset(name: str) -> str:
    return (files("venhancer.page") / name).read_text(encoding="utf-8")


def rows(pairs: Iterable[tuple[str, str]], caption: str) -> str:
    """Return labels and values as a table."""
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in pairs)
    return f'<table class="ve-rows"><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>'


def refusal(line: str) -> str:
    """Return a line that says why something cannot be, with the names of the settings it begins with."""
    named = [name for name in re.findall(r"(?:^|Also: |and )([a-z_]+) ", line) if name in EnhanceSettings.model_fields]
    return f'<p class="ve-refusal" role="alert" data-controls="{" ".join(named)}">{escape(line)}</p>'


def notice(line: str) -> str:
    """Return a line."""
    return f'<p class="ve-notice">{escape(line)}</p>'


def command_line(command: str) -> str:
    """Return a command, folded up."""
    shown = f'<pre class="ve-command">{escape(command)}</pre>'
    return f"<details><summary>The same on the command line</summary>{shown}</details>"


def label_of(record: JobRecord) -> str:
    """Return a job as one of a list."""
    kind = "preview of " if record.preview else ""
    return (
        f"{kind}{record.name} · {WORDS[record.state]} · {time.strftime('%d %b %H:%M', time.localtime(record.created))}"
    )


def progress_of(record: JobRecord, told: Told | None, place: int = 0) -> str:
    """Return how far a job is.

    Args:
        record: the job.
        told: last, if it is under way.
        place: how many jobs go before it, if it waits.
    """
    parts = [f"<strong>{escape(record.name)}</strong>: {WORDS[record.state]}"]
    share = 1.0 if record.state == "finished" else 0.0 if told is None else told.share
    if record.state == "queued" and place:
        parts.append(f"{place} before it")
    if told is not None and record.state == "working":
        parts.append(escape(told.what))
        parts.append(f"{share:.0%}")
        if record.frames and told.frames:
            parts.append(f"{told.frames} of {record.frames} frames")
        if told.left is not None:
            parts.append(f"about {format_seconds(told.left)} left")
    if record.state == "finished":
        parts.append(f"in {format_seconds(record.seconds)}")
    bar = f'<progress max="1" value="{share:.3f}" aria-label="finished share of the job"></progress>'
    lines = "".join(f"<li>{escape(line)}</li>" for line in record.warnings)
    lost = f"<p>Not kept: {escape(', '.join(record.not_kept))}</p>" if record.not_kept else ""
    warned = f"<ul>{lines}</ul>" if lines else ""
    picture = ""
    if told is not None and told.frames and record.state == "working":
        address = f"jobs/{record.id}/{LATEST}?{told.frames}"
        picture = f'<img class="ve-latest" src="{address}" alt="the newest finished frame">'
    reason = refusal(record.reason) if record.reason else ""
    return f'<div class="ve-job" role="status"><p>{" · ".join(parts)}</p>{bar}{reason}{warned}{lost}{picture}</div>'


def result_of(store: JobStore, record: JobRecord) -> str:
    """Return what a finished job made; empty for any other."""
    if record.state != "finished":
        return ""
    base = f"jobs/{record.id}"
    parts = [
        f'<p class="ve-downloads"><a class="ve-button" href="{base}/result" download>'
        f'Download {escape(store.target(record).name)}</a> <a href="{base}/{REPORT}" download>report</a></p>'
    ]
    if store.path(record, COMPARISON) is not None:
        parts.append(_comparison(base, _rate(store, record)))
    if store.path(record, AFTER) is not None:
        parts.append(_picture(base, STILLS, "Stills", "three frames before and after, the busiest part enlarged"))
        pair = "".join(f'<a href="{base}/{name}" target="_blank">{name}</a> ' for name in (BEFORE, AFTER))
        parts.append(f"<p>The middle frame at full size: {pair}</p>")
        parts.append(
            _picture(base, STRIP, "Motion", "one row of pixels over time: slopes are motion, steps repeated frames")
        )
    seams = store.path(record, SEAMS)
    if seams is not None:
        parts.append(rows(json.loads(seams.read_text()), "Seams (1 is none)"))
    else:
        parts.append(notice("Seams of longer results: venhancer seams RESULT SOURCE --report REPORT"))
    with suppress(VEnhancerError):  # settings of another version
        parts.append(command_line(command_of(record.name, record.request, store.target(record).name)))
    return "".join(parts)


def _rate(store: JobStore, record: JobRecord) -> float:
    report = store.path(record, REPORT)
    if report is None:
        return 24.0
    numerator, _, denominator = json.loads(report.read_text())["plan"]["rate"].partition("/")
    return int(numerator) / int(denominator or 1)


def _comparison(base: str, rate: float) -> str:
    return Template(_asset("compare.html")).substitute(rate=f"{rate:.6f}", clip=f"{base}/{COMPARISON}")


def _picture(base: str, name: str, title: str, words: str) -> str:
    picture = f'<img src="{base}/{name}" alt="{title}: {words}" loading="lazy">'
    link = f'<a href="{base}/{name}" target="_blank">{picture}</a>'
    return f'<figure class="ve-figure"><figcaption>{title}: {words}</figcaption>{link}</figure>'
