"""The process that works on one job: `python -m venhancer.serving.process FOLDER DEVICE DTYPE`.

It does what `venhancer enhance` does, tells the server how far it is, and ends at the next evaluation of the networks
or the next frame once its input is closed: by the server, which wants it to stop, or because the server is gone. All
memory is free again when it ends, and a crash in it costs one job.
"""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock

from venhancer.enhance import enhance_as_planned, plan_video
from venhancer.errors import VEnhancerError
from venhancer.jobs.outcome import losses
from venhancer.jobs.work import find_work, is_finished
from venhancer.media.writing.writer import check_target
from venhancer.planning.machine import find_machine
from venhancer.runtime.heap import keep_freed_memory
from venhancer.serving.record import REPORT, read_record
from venhancer.serving.store import LOCK, JobStore
from venhancer.serving.telling import Telling, Told, say


def work(folder: Path, telling: Telling, *, device: str, dtype: str) -> None:
    """Do a job, or what is left of it.

    Raises:
        VEnhancerError: it cannot be done.
        KeyboardInterrupt: it was told to stop; finished segments are kept.
    """
    store = JobStore(folder.parent)
    record = read_record(folder)
    source, target, settings = store.source(record), store.target(record), record.request
    target.parent.mkdir(exist_ok=True)
    if target.is_file() and (folder / REPORT).is_file() and find_work(target) is None:
        return  # only the server had not heard of it
    check_target(target, source, overwrite=is_finished(target), codec=settings.codec)
    machine = find_machine(device, dtype)
    plan = plan_video(source, settings, target, machine=machine, progress=telling)
    earlier = find_work(target)
    before = earlier.finished_frames if earlier else 0
    telling.expect(plan.frames, before, len(plan.sampling.evaluations))
    pixels = plan.frames * plan.width * plan.height
    say(Told(kind="plan", frames=plan.frames, pixels=pixels, not_kept=tuple(losses(plan, target))))
    if plan.traits.keeps_freed_memory:
        keep_freed_memory()
    telling.start(1, f"load {settings.model}")
    from venhancer.weights import load_pipeline

    pipeline = load_pipeline(settings.model, device=device, dtype=dtype)
    telling.advance()
    report = enhance_as_planned(plan, target, pipeline, tell=_warn, show=telling.show, progress=telling)
    report.save(folder / REPORT)
    telling.start(1, "compare")
    from venhancer.serving.comparison import make_comparison

    try:
        make_comparison(report.plan, target, folder)
    except VEnhancerError as error:  # the result is there, whatever can be shown of it
        _warn(f"no comparison was made: {error}")


def _warn(line: str) -> None:
    say(Told(kind="warning", line=line))


def main() -> None:
    """Work on the job of the first argument, and tell how it ended."""
    folder, device, dtype = Path(sys.argv[1]), *sys.argv[2:4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server too, which decides what it means
    unwanted = Event()
    Thread(target=_listen, args=(unwanted,), daemon=True).start()
    end = Told(kind="end")
    try:
        with FileLock(folder / LOCK):  # a process that a killed server left behind ends first
            work(folder, Telling(folder, unwanted.is_set), device=device, dtype=dtype)
    except KeyboardInterrupt:
        end = Told(kind="end", outcome="stopped")
    except VEnhancerError as error:
        end = Told(kind="end", outcome="failed", line=str(error))
    with suppress(OSError):
        say(end)


def _listen(unwanted: Event) -> None:
    """Return once nobody wants the work any more: when the input is closed."""
    sys.stdin.buffer.read()
    unwanted.set()


if __name__ == "__main__":
    main()
