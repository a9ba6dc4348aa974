"""`venhancer weights`: its commands, each with its flags and one call of the library."""

import argparse
from pathlib import Path

from venhancer.cli.flags import OneLineParser, add_command
from venhancer.cli.terminal import Terminal
from venhancer.model_files.folders import PUBLISHED, cache_folder


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    what = "Download, convert and show models."
    weights: OneLineParser = commands.add_parser("weights", help=what, usage="venhancer weights COMMAND")
    weights.set_defaults(parser=weights)
    verbs = weights.add_subparsers(title="commands", metavar="COMMAND", prog=weights.prog)
    releases = " or ".join(PUBLISHED)

    download = add_command(verbs, "download", _download, "RELEASE", "Download a published release and convert it.")
    download.set_defaults(when_stopped="run the same command again to resume")
    convert = add_command(verbs, "convert", _convert, "RELEASE CHECKPOINT", "Convert published files that you have.")
    for command in (download, convert):
        command.add_argument("release", metavar="RELEASE", choices=PUBLISHED, help=f"{releases}.")
        command.add_argument(
            "--dtype", metavar="NAME", choices=("fp16", "fp32"), default="fp16", help="fp16 or fp32; default fp16."
        )
    convert.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="venhancer_paper.pt or venhancer_v2.pt.")
    convert.add_argument("--vae", metavar="PATH", type=Path, required=True, help="The autoencoder: a file or folder.")
    convert.add_argument("--text", metavar="PATH", type=Path, required=True, help="OpenCLIP ViT-H/14: file or folder.")
    convert.add_argument("--tokenizer", metavar="PATH", type=Path, help="CLIP's merges. Default: a file beside --text.")
    convert.add_argument(
        "--target", metavar="FOLDER", type=Path, help="New folder. Default: where --model RELEASE looks."
    )

    show = add_command(verbs, "show", _show, "[MODEL]", "Show what a model contains.")
    show.add_argument(
        "model", metavar="MODEL", nargs="?", default="nano", help=f"nano, {', '.join(PUBLISHED)} or a model folder."
    )


def _download(arguments: argparse.Namespace) -> None:
    from venhancer.checkpoints.download import download

    terminal = Terminal()
    with terminal.progress() as progress:
        folder = download(arguments.release, dtype=arguments.dtype, progress=progress)
    terminal.show_line(f"wrote {folder}; use it with --model {arguments.release}")


def _convert(arguments: argparse.Namespace) -> None:
    from venhancer.checkpoints.convert import convert

    terminal = Terminal()
    with terminal.progress() as progress:
        folder = convert(
            arguments.checkpoint,
            vae=arguments.vae,
            text=arguments.text,
            tokenizer=arguments.tokenizer,
            target=arguments.target or cache_folder() / arguments.release,
            version=arguments.release,
            dtype=arguments.dtype,
            progress=progress,
        )
    terminal.show_line(f"wrote {folder}; use it with --model {folder if arguments.target else arguments.release}")


def _show(arguments: argparse.Namespace) -> None:
    from venhancer.model_files.description import describe_model

    Terminal().show_rows(describe_model(arguments.model).rows())
