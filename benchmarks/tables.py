"""Tables 1, 2 and 4 on free metrics and free systems, over the fixed clips of `cases.py`, whole.

    python benchmarks/tables.py [--tables 1 2 4] [--cases ...] [--systems ...]

And the arithmetic of table 3: the paper's dimensions, put together as VBench does, against the paper's own totals.

What `venhancer table` does, on the middle of each clip and few frames, so that a processor is enough: generated clips
are not to be had here, so films stand in for them. For tables 1 and 2 the clips are inputs, for table 4 the truth.
Outputs and scores are kept in `data/evaluation_cache`. Prints tables, writes `benchmarks/results/tables.json` and
`data/tables`.
"""

import argparse
import json
from pathlib import Path

import torch
from cases import CASES
from quality import fixed_clip

from venhancer.cli.terminal import Terminal
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.paper.protocol import load_protocol, paper_figures
from venhancer.evaluation.paper.report import pictures_of, shortfalls, tables_of, to_json, write_table
from venhancer.evaluation.paper.systems import load_systems
from venhancer.evaluation.paper.table import Choice, fill_table
from venhancer.evaluation.paper.vbench import all_dimensions, totals
from venhancer.evaluation.tables import as_lines

RESULTS = Path(__file__).parent / "results" / "tables.json"
SHAPES = {"1": ("96x64", 3), "2": ("96x64", 2), "4": ("176x144", 5)}
"""Middle of each clip and its frames, by table: small inputs for the first two, the truth for the last."""


def main() -> None:
    """Fill, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=SHAPES, default=list(SHAPES), help="which")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="clips")
    parser.add_argument("--systems", nargs="+", default=(), help="names of systems.yaml; default: all")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where packages and kept outputs are")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    packages, cache = arguments.data / "packages", Cache(arguments.data / "evaluation_cache")
    systems, choice = load_systems(None, packages), Choice(systems=tuple(arguments.systems))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.tables:
        crop, frames = SHAPES[name]
        protocol = load_protocol(name)
        folder = arguments.data / "quality_cache"
        clips = [fixed_clip(case, frames, folder, packages).middle(crop) for case in arguments.cases]
        with Terminal().progress() as progress:
            table, found = fill_table(protocol, clips, systems, choice, figures={}, cache=cache, progress=progress)
        for one in tables_of(table):
            print(f"\n{one.title}\n", *as_lines(one), sep="\n")
        print(*table.notes, *shortfalls(table), sep="\n")
        write_table(arguments.data / "tables", table, pictures_of(found, clips, cache))
        results[name] = {**to_json(table), "crop": crop, "frames": frames, "kinds": "films in place of generated clips"}
        RESULTS.write_text(json.dumps({**results, "3": arithmetic()}, indent=1) + "\n")


def arithmetic() -> dict[str, dict[str, dict[str, float]]]:
    """Return both totals of each system of table 3, per cent: the paper's, those of its dimensions, the difference."""
    found = {}
    for system, paper in paper_figures(load_protocol("3")).items():
        sums = totals({one.name: paper[one.title] / 100 for one in all_dimensions().values()})
        pairs = {title: (paper[title], 100 * sums[title]) for title in ("Quality", "Semantic")}
        found[system] = {
            title: {"paper": given, "computed": round(made, 4), "difference": round(made - given, 4)}
            for title, (given, made) in pairs.items()
        }
    return found


if __name__ == "__main__":
    main()
