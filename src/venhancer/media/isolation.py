"""A file looked at in a process of its own, before this one opens it.

Decoders are large, and a damaged or hostile file can crash them, hang them or fill the memory. `inspect` lets a child
run the probe first: whatever happens there, here it is a description of the clip or one line that says what is wrong
with the file. The child has limits on time, memory and processor, can write no file and, where the system allows it,
reaches no network; `docs/security.md` says where which of these hold.

The answer is plain JSON, read field by field: a child that was taken over can lie about a clip, and do nothing else.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from venhancer.errors import InputError, SettingsError, VEnhancerError
from venhancer.media.limits import VARIABLE, Limits, read_limits
from venhancer.media.probe import ClipInfo, probe

BYTES_A_LIMIT = 32 << 20  # of a file, that add one `probe_seconds` to the time allowed
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h


def inspect(path: Path) -> ClipInfo:
    """Return what the clip at `path` is, as `probe` does, whatever the file does to the decoders.

    Raises:
        InputError: no clip that can be used, or one that crashes, hangs or overloads whoever looks at it.
    """
    limits = read_limits()
    seconds = _seconds_for(path, limits)
    command = [sys.executable, "-P", "-m", "venhancer.media.isolation", os.fspath(path), str(seconds)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise InputError(_too_long(path, seconds)) from None
    except (OSError, ValueError) as error:  # no process to be had; a name with a zero byte
        raise InputError(f"{path} cannot be looked at ({error}); check the path and free memory") from error
    if done.returncode == -getattr(signal, "SIGXCPU", 0):
        raise InputError(_too_long(path, seconds))
    if done.returncode < 0:
        what = signal.Signals(-done.returncode).name
        raise InputError(f"{path} crashes the decoder ({what}); it is damaged or hostile: copy it again or leave it")
    return _read_answer(done.stdout, done.stderr, path)


def _seconds_for(path: Path, limits: Limits) -> int:
    size = 0
    with suppress(OSError, ValueError):  # the child says what is wrong with the name
        size = path.stat().st_size
    return ceil(limits.probe_seconds * (1 + size / BYTES_A_LIMIT))


def _too_long(path: Path, seconds: int) -> str:
    what = f"{path} cannot be looked at within {seconds} s"
    return f"{what}; it is damaged or hostile: copy it again, or set {VARIABLE}=probe_seconds=600 if it is sound"


def _read_answer(answer: bytes, complaints: bytes, path: Path) -> ClipInfo:
    try:
        told = json.loads(answer)
        if "error" in told:
            known = {kind.__name__: kind for kind in (InputError, SettingsError)}
            failure: VEnhancerError = known[told["error"]](str(told["message"]))
        else:
            return _value(ClipInfo, {**told["clip"], "path": os.fspath(path)})
    except (ValueError, TypeError, KeyError) as error:
        last = complaints.decode(errors="replace").strip().rpartition("\n")[2]
        raise InputError(f"{path} cannot be looked at ({last or error}); it is damaged: copy it again") from error
    raise failure


def _value(hint: Any, told: Any) -> Any:  # noqa: ANN401 - any field of a description
    """Return what JSON tells as a value of the annotated type.

    Raises:
        TypeError: it is no such value, or nothing here knows how to read that type.
    """
    arguments = get_args(hint)
    match get_origin(hint), told:
        case (None, dict()) if hasattr(hint, "__dataclass_fields__"):
            hints = get_type_hints(hint)
            return hint(**{name: _value(hints[name], part) for name, part in told.items()})
        case None, list():  # a named tuple
            kinds = get_type_hints(hint).values()
            return hint(*(_value(kind, part) for kind, part in zip(kinds, told, strict=True)))
        case (origin, _) if origin in (Union, UnionType):
            (kind,) = [argument for argument in arguments if argument is not NoneType]
            return None if told is None else _value(kind, told)
        case origin, list() if origin is tuple:
            kinds = arguments[:1] * len(told) if arguments[-1] is Ellipsis else arguments
            return tuple(_value(kind, part) for kind, part in zip(kinds, told, strict=True))
        case origin, dict() if issubclass(origin, Mapping):
            return {_value(arguments[0], name): _value(arguments[1], part) for name, part in told.items()}
    return _scalar(hint, told)


def _scalar(hint: Any, told: Any) -> Any:  # noqa: ANN401 - likewise
    if hint in (Path, Fraction) and isinstance(told, str):
        return hint(told)
    if hint in (str, int, bool) and type(told) is hint:
        return told
    if hint is float and type(told) in (int, float):
        return float(told)
    if get_origin(hint) is Literal and told in get_args(hint):
        return told
    raise TypeError(f"{told!r} is no {hint}")


def _plain(value: object) -> object:
    """Return a value of a description as JSON has it."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path | Fraction) else value


def _restrict(limits: Limits, seconds: int) -> None:
    """Take from this process what looking at a file does not need, as far as the system allows it."""
    if sys.platform == "win32":
        return  # none of it is there: a process of its own and the time limit remain
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


def _answer(path: Path) -> Mapping[str, object]:
    try:
        return {"clip": _plain(probe(path))}
    except VEnhancerError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        most = f"{read_limits().probe_memory} GiB"
        message = f"{path} needs more than {most} to look at; it is damaged or hostile: copy it again or leave it"
        return {"error": InputError.__name__, "message": message}


def main() -> None:
    """Print what the clip is that the first argument names, or what is wrong with it, as JSON."""
    path, seconds = Path(sys.argv[1]), int(sys.argv[2])
    _restrict(read_limits(), seconds)
    sys.stdout.write(json.dumps(_answer(path)))


if __name__ == "__main__":
    main()
