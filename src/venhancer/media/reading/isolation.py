"""Inspects a file in its own process, before this one decodes any of it.

Decoders are large, and a damaged or hostile file can crash them, hang them or fill the memory. `inspect` lets a child
run the probe, pictures first and then sound and subtitles, which condemn no pictures; `search_clip` lets one decode
every frame on the way to where shots begin. Whatever happens there, here it is an answer, or one line that says what is
wrong with the file. The child has limits on time, memory and processor, can write no file and, where the system allows
it, reaches no network; `docs/security.md` says where which of these hold.

The answer is plain JSON, read field by field as annotated: a child that was taken over can lie about a clip, and do
nothing else.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from math import ceil
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from venhancer.errors import InputError, SettingsError, VEnhancerError
from venhancer.media.limits import VARIABLE, Limits, read_limits
from venhancer.media.reading.cadence import read_cadence
from venhancer.media.reading.fields import Fields
from venhancer.media.reading.probe import ClipInfo, probe_film, with_sound
from venhancer.media.reading.shots import Findings, look_through
from venhancer.media.stills.numbering import bytes_of
from venhancer.progress import SILENT, Progress

Answer = TypeVar("Answer")

BYTES_A_LIMIT = 32 << 20  # of a file, that add one `probe_seconds` to the time allowed
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
ANSWER = b"{"  # how a line of JSON begins; the first one stands if the child crashes after it
TOLD_EVERY = 0.1  # seconds between the child's progress reports


def inspect(path: Path, *, is_part: bool = False, keep_damaged: bool = False) -> ClipInfo:
    """Return what the clip at `path` is, as `probe` does, even if the file crashes decoders.

    Raises:
        InputError: no usable clip, or one that crashes, hangs or overloads the child.
    """
    answer = _ask(path, {"task": "probe", "is_part": is_part, "keep_damaged": keep_damaged})
    return _believe(lambda: read_clip(answer["clip"], path), path)


def search_clip(clip: ClipInfo, frames: range | None = None, *, progress: Progress = SILENT) -> Findings:
    """Return what `look_through` does, even if frames crash decoders: each is decoded in the child first.

    Raises:
        InputError: the file changed, a frame is damaged or missing, or one crashes, hangs or overloads a decoder.
    """
    frames = range(clip.frames) if frames is None else frames
    progress.start(len(frames), "look for cuts")
    request = {"task": "shots", "clip": asdict(clip), "first": frames.start, "stop": frames.stop}
    answer = _ask(clip.path, request, progress)
    return _believe(lambda: _read_findings(answer), clip.path)


def _read_findings(told: Mapping[str, Any]) -> Findings:
    """Return what JSON tells of a clip.

    Raises:
        KeyError: a field is missing.
        TypeError: it is no such value; likewise ValueError.
    """
    seen = told["fields"]
    fields = Fields(moving=int(seen["moving"]), combed=int(seen["combed"]), is_film=bool(seen["is_film"]))
    return Findings(tuple(map(int, told["cuts"])), read_cadence(told["cadence"]), fields)


def _ask(path: Path, request: Mapping[str, object], progress: Progress = SILENT) -> Any:  # noqa: ANN401 - JSON
    """Return what the child answers, read but not yet believed.

    Args:
        path: of the file.
        request: what to do with it.
        progress: advanced by every finished frame.
    """
    seconds = _seconds_for(path, read_limits())
    command = [sys.executable, "-P", "-m", "venhancer.media.reading.isolation", os.fspath(path), str(seconds)]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **threads},
        )
    except (OSError, ValueError) as error:  # no process available; a name with a zero byte
        raise InputError(f"{path} cannot be inspected ({error}); check the path and free memory") from error
    lines: SimpleQueue[bytes] = SimpleQueue()
    talk = Thread(target=_talk, args=(child, json.dumps(request, default=str).encode(), lines), daemon=True)
    talk.start()
    try:
        last = _listen(lines, seconds, progress)
        if not last.startswith(ANSWER):
            child.wait(seconds)
    except (Empty, subprocess.TimeoutExpired):
        raise InputError(_too_long(path, seconds)) from None
    finally:
        child.kill()
        talk.join()
        with child:  # which waits for its end
            pass
    return _understand(last, child.returncode, path, seconds)


def _talk(child: "subprocess.Popen[bytes]", request: bytes, lines: "SimpleQueue[bytes]") -> None:
    """Send the child its request, and hand on each line of its answer; an empty one at the end."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(OSError):
        child.stdin.write(request)
        child.stdin.close()
    for line in child.stdout:
        lines.put(line)
    lines.put(b"")


def _listen(lines: "SimpleQueue[bytes]", seconds: int, progress: Progress) -> bytes:
    """Return the last answer, or the last line if there is none; raise Empty when there is nothing for too long."""
    last = b""
    while True:
        try:
            line = lines.get(timeout=seconds)
        except Empty:
            if last.startswith(ANSWER):  # sound that hangs its decoder
                return last
            raise
        if not line:
            return last
        if line.strip().isdigit():
            for _ in range(int(line)):
                progress.advance()
        elif line.startswith(ANSWER) or (line.strip() and not last.startswith(ANSWER)):
            last = line


def _seconds_for(path: Path, limits: Limits) -> int:
    size = 0
    with suppress(OSError, ValueError, InputError):  # the child says what is wrong with the name
        size = bytes_of(path)
    return ceil(limits.probe_seconds * (1 + size / BYTES_A_LIMIT))


def _too_long(path: Path, seconds: int) -> str:
    what = f"{path} cannot be inspected within {seconds} s"
    return f"{what}; it may be damaged or hostile: copy it again, or set {VARIABLE}=probe_seconds=600 if you trust it"


def _understand(last: bytes, code: int, path: Path, seconds: int) -> Any:  # noqa: ANN401 - JSON
    is_answer = last.startswith(ANSWER)
    if code == -getattr(signal, "SIGXCPU", 0) and not is_answer:
        raise InputError(_too_long(path, seconds))
    if code < 0 and not is_answer:
        what = signal.Signals(-code).name
        raise InputError(
            f"{path} crashes the decoder ({what}); it may be damaged or hostile: copy it again or leave it out"
        )
    try:
        answer = json.loads(last)
        if "error" not in answer:
            return answer
        known: dict[str, type[VEnhancerError]] = {kind.__name__: kind for kind in (InputError, SettingsError)}
        failure = known[answer["error"]](str(answer["message"]))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(_strange(path, last.decode(errors="replace").strip() or str(error))) from error
    raise failure


def read_clip(told: Mapping[str, Any], path: Path) -> ClipInfo:
    """Return what JSON tells of the clip at `path`, read field by field as annotated.

    Raises:
        ValueError: a field is missing or no such value.
    """
    from pydantic import TypeAdapter, ValidationError  # which a child that only probes does without

    try:
        return TypeAdapter(ClipInfo).validate_python({**told, "path": path})
    except ValidationError as error:
        raise ValueError(f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error


def _believe(read: Callable[[], Answer], path: Path) -> Answer:
    try:
        return read()
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(_strange(path, str(error))) from error


def _strange(path: Path, what: str) -> str:
    return f"{path} cannot be inspected ({what}); it is damaged: copy it again"


def restrict(limits: Limits, seconds: int) -> None:
    """Take from this process what looking at a file does not need, as far as the system allows it."""
    if sys.platform == "win32":
        return  # none of it exists: the process and the time limit remain
    import resource

    most = {
        "RLIMIT_AS": limits.probe_memory << 30,
        "RLIMIT_CPU": seconds * (os.cpu_count() or 1),  # ends it even if nobody waits for it any more
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
    }
    for name, most_of_it in most.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        allowed = most_of_it if hard == resource.RLIM_INFINITY else min(most_of_it, hard)
        with suppress(OSError, ValueError):  # macOS knows some of them by name only
            resource.setrlimit(kind, (allowed, allowed))
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            system = ctypes.CDLL(None)
            if system.unshare(CLONE_NEWNET):  # allowed to root; others first need a world of their own
                system.unshare(CLONE_NEWUSER | CLONE_NEWNET)


class _Telling:
    """Progress that the parent hears of, a few times a second."""

    def __init__(self) -> None:
        self.untold, self.told_at = 0, time.monotonic()

    def start(self, total: int, what: str) -> None:
        """Begin a stage; the parent knows of it."""

    def advance(self) -> None:
        """Mark one step."""
        self.untold += 1
        if time.monotonic() - self.told_at > TOLD_EVERY:
            _say(self.untold)
            self.untold, self.told_at = 0, time.monotonic()


def _say(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what, default=str)}\n")
    sys.stdout.flush()


def _answer(path: Path, request: Mapping[str, Any]) -> Mapping[str, object]:
    try:
        if request["task"] == "probe":
            clip = probe_film(path, is_part=request["is_part"], keep_damaged=request["keep_damaged"])
            _say({"clip": asdict(clip)})  # valid even if the sound crashes its decoders
            with suppress(MemoryError):
                clip = with_sound(clip)
            return {"clip": asdict(clip)}
        clip = read_clip(request["clip"], path)
        found = look_through(clip, range(request["first"], request["stop"]), progress=_Telling())
        return {"cuts": found.cuts, "cadence": asdict(found.cadence), "fields": asdict(found.fields)}
    except VEnhancerError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        most = f"{read_limits().probe_memory} GiB"
        message = (
            f"{path} needs more than {most} to inspect; it may be damaged or hostile: copy it again or leave it out"
        )
        return {"error": InputError.__name__, "message": message}


def main() -> None:
    """Do the task on the input with the file of the first argument, and print the answer as JSON."""
    path, seconds = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent decides what it means
    request = json.load(sys.stdin)
    restrict(read_limits(), seconds + request.get("stop", 0))
    _say(_answer(path, request))


if __name__ == "__main__":
    main()
