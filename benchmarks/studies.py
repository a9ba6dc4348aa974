"""What each setting of a model does: the studies of `venhancer study` on two clips of `cases.py`, cut small.

    python benchmarks/studies.py [--model nano] [--studies guidance words ...]

Prints a table a study; writes the figures to `benchmarks/results/studies.json`, a picture of all studies to
`docs/images/studies.jpg` (of the first clip, Big Buck Bunny, which may be passed on) and the whole report to
`data/studies_report`. Outputs are kept, so a run that was stopped goes on.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from quality import fixed_clip

from venhancer.cli.terminal import Terminal
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.studies.catalogue import choose_studies
from venhancer.evaluation.studies.pages import table_of, verdict, write_studies
from venhancer.evaluation.studies.run import Finding, StudySettings, load_model, run_study
from venhancer.evaluation.tables import as_lines

PROMPTS = {"bunny-473s": "a rabbit in a meadow", "street": "cyclists on a street"}
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Study, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="name or folder")
    parser.add_argument("--studies", nargs="*", default=[], help="names; all but the extra ones if left out")
    parser.add_argument("--cases", nargs="+", default=list(PROMPTS), help="clips; the first is shown in the picture")
    parser.add_argument("--frames", type=int, default=13, help="of each clip")
    parser.add_argument("--crop", default="256x144", help="width and height of the middle part used")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where packages and kept outputs are")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clips = [cut(name, arguments) for name in arguments.cases]
    settings = StudySettings(prompts={name: PROMPTS.get(name, "") for name in arguments.cases})
    model, cache = load_model(arguments.model), Cache(arguments.data / "evaluation_cache")
    findings: list[Finding] = []
    report = arguments.data / "studies_report"
    for study in choose_studies(arguments.studies):
        with Terminal().progress() as progress:
            findings.append(run_study(study, clips, settings, model, cache, progress=progress))
        write_studies(report, arguments.model, settings, findings)
        print(f"\n{study.name}\n", *as_lines(table_of(findings[-1])), verdict(findings[-1]), sep="\n", flush=True)
    figures, picture = ROOT / "benchmarks" / "results" / "studies.json", ROOT / "docs" / "images" / "studies.jpg"
    shutil.copyfile(report / "studies.json", figures)
    shutil.copyfile(report / "overview.jpg", picture)
    print(f"wrote {figures}, {picture} and {report / 'studies.html'}")


def cut(name: str, arguments: argparse.Namespace) -> TestClip:
    """Return the first frames and the middle of a case."""
    clip = fixed_clip(name, 25, arguments.data / "quality_cache", arguments.data / "packages")
    frames = clip.load()[: arguments.frames]
    return replace(clip, load=lambda: frames).middle(arguments.crop)


if __name__ == "__main__":
    main()
