"""`venhancer fleet run`, `plan` and `status`: their flags, and one call of the library for each."""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from venhancer.cli.flags import OneLineParser, add_command, add_device_flags, add_settings, read_settings
from venhancer.cli.fleet_display import FleetBar, show_end
from venhancer.cli.terminal import Terminal
from venhancer.errors import SettingsError
from venhancer.jobs.stopping import stop_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from venhancer.fleet.engine import Engine
    from venhancer.fleet.worker import Setup

SOURCE = "Folder, pattern in quotes, or file of JSON lines; here or at an address such as s3://bucket/in."
OUT = "Folder for the outputs; may be left out if every line names its output."
STOPPING = "finishing the segments under way before stopping; press Ctrl-C again to stop at once"
TIME_LIMIT = 1800.0
SHARE_FRAMES = 2000
ENGINES = ("local", "ray")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    what = "Enhance thousands of clips."
    fleet: OneLineParser = commands.add_parser("fleet", help=what, usage="venhancer fleet COMMAND")
    fleet.set_defaults(parser=fleet)
    verbs = fleet.add_subparsers(title="commands", metavar="COMMAND", prog=fleet.prog)

    run = add_command(verbs, "run", _run, "SOURCE [OUT]", "Enhance all clips; run it again to go on.")
    run.set_defaults(when_stopped="the same command resumes")
    _add_source(run)
    _add_work(run)
    _add_engine(run)
    add_settings(run)
    add_device_flags(run)

    plan = add_command(verbs, "plan", _plan, "SOURCE [OUT]", "Show what there is to do; loads no model.")
    _add_source(plan)
    plan.add_argument("--sample", metavar="N", type=int, default=200, help="Clips to look at; default 200.")
    plan.add_argument("--tflops", metavar="N", type=float, help="What a worker sustains; also shows hours.")
    plan.add_argument("--workers", metavar="N,N", default="1,8,64", help="Numbers to show hours for; default 1,8,64.")
    add_settings(plan)
    add_device_flags(plan)

    status = add_command(verbs, "status", _status, "OUT", "Show how a folder of outputs stands.")
    status.add_argument("out", metavar="OUT", help="Folder of the outputs, here or at an address.")
    status.add_argument("--json", action="store_true", help="Show it as JSON.")
    status.add_argument("--html", metavar="FILE", type=Path, help="Also write it as a page for browsers.")
    status.add_argument("--watch", action="store_true", help="Show it again every few seconds until all is done.")


def _add_source(parser: OneLineParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    parser.add_argument("out", metavar="OUT", nargs="?", help=OUT)
    parser.add_argument("--prompts", metavar="FILE", help="CSV table with a prompt for each clip.")
    parser.add_argument("--prompt-column", metavar="NAME", default="prompt", help="Its column; default prompt.")
    parser.add_argument("--shard", metavar="I/N", help="Do every N-th clip from the I-th on, counted from 0.")


def _add_work(parser: OneLineParser) -> None:
    work = parser.add_argument_group("the work")
    work.add_argument("--workers", metavar="N", help="Workers; default one a GPU, or one. With Ray also LEAST-MOST.")
    work.add_argument("--scratch", metavar="FOLDER", help="For unfinished work; default within OUT if that is here.")
    work.add_argument(
        "--time-limit",
        metavar="S",
        type=float,
        default=TIME_LIMIT,
        help=f"Seconds without progress after which a clip counts as hanging; default {TIME_LIMIT:g}.",
    )
    work.add_argument("--tries", metavar="N", type=int, default=2, help="Of a clip, before it is put aside; default 2.")
    work.add_argument(
        "--share-frames",
        metavar="N",
        type=int,
        default=SHARE_FRAMES,
        help=f"Divide films at cuts into shares of about N output frames; 0 not at all; default {SHARE_FRAMES}.",
    )
    work.add_argument("--retry-quarantined", action="store_true", help="Try anew what was put aside.")
    work.add_argument("--overwrite", action="store_true", help="Replace outputs from elsewhere or of another job.")
    work.add_argument("--restart", action="store_true", help="Discard unfinished work instead of resuming it.")
    work.add_argument("--metrics", metavar="FILE", type=Path, help="Also write numbers for Prometheus to a text file.")
    work.add_argument("--quiet", action="store_true", help="Show errors only.")


def _plan(arguments: argparse.Namespace) -> None:
    from venhancer.fleet.forecast import forecast
    from venhancer.fleet.manifest import read_manifest, shard_of
    from venhancer.model_files.traits import load_traits
    from venhancer.planning.machine import find_machine

    settings, terminal = read_settings(arguments), Terminal()
    numbers = arguments.workers.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in numbers) or arguments.sample < 1:
        raise SettingsError(f"workers {arguments.workers} or sample {arguments.sample} must be above 0; pass 1,8,64")
    prompts = {"prompts": arguments.prompts, "column": arguments.prompt_column}
    manifest = read_manifest(arguments.source, arguments.out or ".venhancer-plan", settings, **prompts)
    with terminal.progress() as progress:
        found = forecast(
            shard_of(manifest.items, arguments.shard),
            settings,
            load_traits(settings.model),
            find_machine(arguments.device, arguments.dtype),
            sample=arguments.sample,
            progress=progress,
        )
    terminal.show_rows(found.rows(arguments.tflops, list(map(int, numbers))))


def _add_engine(parser: OneLineParser) -> None:
    engine = parser.add_argument_group("the engine")
    engine.add_argument("--engine", choices=ENGINES, default="local", metavar="NAME", help="local or ray.")
    engine.add_argument("--address", metavar="HOST", help="Of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT.")
    engine.add_argument("--gpus", metavar="N", type=float, default=0.0, help="GPUs of each Ray worker; default 0.")
    engine.add_argument("--cpus", metavar="N", type=float, default=1.0, help="Processors of each; default 1.")
    engine.add_argument("--resources", metavar="JSON", help='Custom resources of each, such as {"H200": 1}.')
    engine.add_argument("--runtime-env", metavar="FILE", type=Path, help="Ray runtime environment: JSON or YAML.")


def _run(arguments: argparse.Namespace) -> None:
    from venhancer.fleet.fleet import Fleet, open_fleet
    from venhancer.fleet.metrics import Metrics, Watchers
    from venhancer.fleet.run import Policy
    from venhancer.fleet.stores import absolute
    from venhancer.fleet.worker import Setup, check_scratch

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _check_engine(arguments)
    settings, terminal = read_settings(arguments), Terminal(quiet=arguments.quiet)
    with terminal.busy("reading the manifest"):
        fleet: Fleet = open_fleet(
            arguments.source,
            arguments.out,
            settings,
            prompts=arguments.prompts,
            column=arguments.prompt_column,
            shard=arguments.shard,
            overwrite=arguments.overwrite,
        )
    setup = Setup(
        out=fleet.out.address,
        scratch=None if arguments.scratch is None else absolute(arguments.scratch),
        device=arguments.device,
        options={
            "model": absolute(settings.model) if Path(settings.model).is_dir() else settings.model,
            "weights": fleet.weights,
            "dtype": arguments.dtype,
        },
    )
    check_scratch(setup)
    policy = Policy(
        tries=arguments.tries,
        tries_a_run=arguments.tries,
        retry_quarantined=arguments.retry_quarantined,
        overwrite=arguments.overwrite,
        restart=arguments.restart,
        share_frames=max(0, arguments.share_frames),
    )
    with (
        FleetBar(terminal) as bar,
        stop_requests(lambda _: terminal.warn(STOPPING), (signal.SIGINT,)) as request,
    ):
        metrics = Metrics(arguments.metrics, on_ray=arguments.engine == "ray")
        engine, watcher = _engine_maker(arguments, setup), Watchers(bar, metrics)
        try:
            states = fleet.run(engine, policy=policy, watcher=watcher, stop=lambda: request.was_made)
        finally:
            metrics.close()
    show_end(terminal, list(states.values()), fleet.out.describe())


def _engine_maker(arguments: argparse.Namespace, setup: "Setup") -> "Callable[[], Engine]":
    """Return what makes the engine that was asked for.

    Raises:
        SettingsError: a number, the resources or the runtime environment are none.
    """
    least, most = _workers(arguments.workers)
    if arguments.engine == "local":
        from venhancer.fleet.local import LocalEngine, local_setups

        setups = local_setups(setup, None if arguments.workers is None else most)
        return lambda: LocalEngine(setups, time_limit=arguments.time_limit)
    from venhancer.fleet.ray_cluster import Pool, RayEngine

    pool = Pool(
        least=least,
        most=most,
        gpus=arguments.gpus,
        cpus=arguments.cpus,
        resources=_mapping("--resources", arguments.resources or "{}"),
        runtime_env=_mapping("--runtime-env", _read(arguments.runtime_env)),
    )
    return lambda: RayEngine(setup, pool, address=arguments.address, time_limit=arguments.time_limit)


def _read(path: Path | None) -> str:
    from venhancer.media.source import failures_as

    with failures_as(SettingsError, f"{path} cannot be read; check the path"):
        return "{}" if path is None else path.read_text()


def _check_engine(arguments: argparse.Namespace) -> None:
    """Raise unless the flags of the engine go together.

    Raises:
        SettingsError: they do not, or there are none for this system.
    """
    if sys.platform == "win32":
        raise SettingsError("`venhancer fleet run` needs Linux or macOS; use `venhancer enhance FOLDER OUT` here")
    least, most = _workers(arguments.workers)
    of_ray = {name: getattr(arguments, name) for name in ("address", "gpus", "resources", "runtime_env")}
    if arguments.engine == "local" and (given := [name for name, value in of_ray.items() if value]):
        raise SettingsError(f"--{given[0].replace('_', '-')} is for Ray; pass --engine ray")
    if arguments.engine == "local" and least != most:
        raise SettingsError(f"workers {arguments.workers} is for Ray; pass --workers {most}, or --engine ray")


def _workers(given: str | None) -> tuple[int, int]:
    """Return the least and the most number of workers.

    Raises:
        SettingsError: they are none.
    """
    least, _, most = (given or "1").partition("-")
    if not (least.isdecimal() and (most or least).isdecimal() and 1 <= int(least) <= int(most or least)):
        raise SettingsError(f"workers {given} must be a number above 0; pass --workers 4, or 2-8 with --engine ray")
    return int(least), int(most or least)


def _mapping(flag: str, text: str) -> dict[str, Any]:
    """Return an object in JSON or YAML.

    Raises:
        SettingsError: it is none.
    """
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{flag} cannot be read ({' '.join(str(error).split())}); give JSON or YAML") from error
    if not isinstance(values, dict):
        raise SettingsError(f'{flag} is not a JSON object; pass one such as {{"H200": 1}}')
    return values


def _status(arguments: argparse.Namespace) -> None:
    from venhancer.fleet.pages import describe_status, write_page
    from venhancer.fleet.status import read_status
    from venhancer.fleet.stores import Store, absolute

    terminal, store = Terminal(), Store(absolute(arguments.out))
    while True:
        status = read_status(store)
        if arguments.html is not None:
            write_page(status, arguments.html, store.describe() or store.address)
        if arguments.json:
            terminal.show_json(status.to_json())
        else:
            terminal.show_rows(describe_status(status))
        if not arguments.watch or not (status.counts["waiting"] or status.counts["running"]):
            return
        time.sleep(3)
