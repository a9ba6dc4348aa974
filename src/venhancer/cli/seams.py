"""`venhancer seams`: its flags, and whether one can see where an output was put together."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from venhancer.cli.flags import add_command
from venhancer.cli.terminal import Terminal
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.settings import parse_settings

if TYPE_CHECKING:
    from venhancer.evaluation.seams import Seam
    from venhancer.plan import EnhancePlan


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = add_command(commands, "seams", run, "RESULT SOURCE", "Tell whether joins of an output show.")
    parser.add_argument("result", metavar="RESULT", type=Path, help="What enhance wrote.")
    parser.add_argument("source", metavar="SOURCE", type=Path, help="What it was made from.")
    parser.add_argument(
        "--report", metavar="FILE", type=Path, required=True, help="What `enhance --json FILE` or `plan --json` told."
    )
    parser.add_argument("--json", action="store_true", help="Show it as JSON.")


def run(arguments: argparse.Namespace) -> None:
    """Measure the result's seams against its enlarged input and show them.

    Raises:
        InputError: a file cannot be used, or they do not belong together.
    """
    told = _read_plan(arguments.report)
    from venhancer.enhance import plan_video
    from venhancer.evaluation.enlarged_input import enlarged_input
    from venhancer.evaluation.seams import colour_drift, find_joins, measure_joins, measure_profiles

    joins = find_joins(told)
    plan = plan_video(arguments.source, parse_settings(**told["settings"]))
    result = probe(arguments.result)
    if (result.width, result.height, result.frames) != (plan.width, plan.height, plan.frames):
        made = f"{plan.frames} frames of {plan.width}x{plan.height}"
        given = f"{result.frames} of {result.width}x{result.height}"
        raise InputError(f"{arguments.result} has {given}, but {arguments.report} makes {made}; name its own report")
    terminal = Terminal()
    with (
        terminal.busy("measuring"),
        FrameReader(plan.clip, keep=2) as inputs,
        FrameReader(result, keep=2) as outputs,
    ):
        profiles = measure_profiles(outputs.read(range(result.frames)), enlarged_input(plan, inputs.read))
    period = max(1, round(plan.width / plan.clip.width))
    seams = measure_joins(profiles, joins, alike=since_key(plan), period=period)
    drift = colour_drift(profiles, joins.parts)
    colour = {
        "largest drift of a segment": float(np.linalg.norm(drift, axis=1).max()),
        "largest step between segments": float(np.linalg.norm(np.diff(drift, axis=0), axis=1).max(initial=0)),
    }
    if arguments.json:
        rows = {kind: {measure: _to_json(seam) for measure, seam in found.items()} for kind, found in seams.items()}
        terminal.show_json({"seams": rows, "colour": colour})
        return
    for kind, found in seams.items():
        terminal.show_rows((f"{kind}, {measure}", describe(seam)) for measure, seam in found.items())
    if not seams:
        terminal.show_line("one window and one tile: there is no seam")
    terminal.show_rows((label, f"{value:.2f} (Lab)") for label, value in colour.items())


def since_key(plan: "EnhancePlan") -> list[int]:
    """Return for each output frame how many frames ago the last key frame was: what is made alike is compared."""
    numbers: list[int] = []
    for is_key in plan.is_key:
        numbers.append(0 if is_key or not numbers else numbers[-1] + 1)
    return numbers


def describe(seam: "Seam") -> str:
    """Return a seam in words."""
    low, high = seam.bounds
    return f"{seam.ratio:.3f} times elsewhere (95 %: {low:.3f} to {high:.3f}), at {seam.places} places"


def _to_json(seam: "Seam") -> dict[str, Any]:
    return {"ratio": seam.ratio, "bounds": seam.bounds, "places": seam.places}


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a report ({type(error).__name__}); name one of enhance") from error
    plan = content.get("plan", content) if isinstance(content, dict) else {}
    if "settings" not in plan:
        raise InputError(f"{path} is no report of an enhancement; make one with `venhancer enhance --json FILE`")
    return plan
