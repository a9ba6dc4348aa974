"""Descriptions as values of JSON and back, read field by field by their annotated types.

What comes from another process is believed no further than that: no pickle, no class that the sender names.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def read_plain(hint: Any, value: Any) -> Any:  # noqa: ANN401 - any field of a description
    """Return a JSON value as a value of the annotated type.

    Raises:
        TypeError: it is no such value, or nothing here knows how to read that type.
    """
    arguments = get_args(hint)
    match get_origin(hint), value:
        case (None, dict()) if hasattr(hint, "__dataclass_fields__"):
            hints = get_type_hints(hint)
            return hint(**{name: read_plain(hints[name], part) for name, part in value.items()})
        case None, list():  # a named tuple
            kinds = get_type_hints(hint).values()
            return hint(*(read_plain(kind, part) for kind, part in zip(kinds, value, strict=True)))
        case (origin, _) if origin in (Union, UnionType):
            (kind,) = [argument for argument in arguments if argument is not NoneType]
            return None if value is None else read_plain(kind, value)
        case origin, list() if origin is tuple:
            kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
            return tuple(read_plain(kind, part) for kind, part in zip(kinds, value, strict=True))
        case origin, dict() if issubclass(origin, Mapping):
            return {read_plain(arguments[0], name): read_plain(arguments[1], part) for name, part in value.items()}
    return _scalar(hint, value)


def _scalar(hint: Any, value: Any) -> Any:  # noqa: ANN401 - likewise
    if hint in (Path, Fraction) and isinstance(value, str):
        return hint(value)
    if hint in (str, int, bool) and type(value) is hint:
        return value
    if hint is float and type(value) in (int, float):
        return float(value)
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    raise TypeError(f"{value!r} is not {hint}")


def to_plain(value: object) -> object:
    """Return a value of a description as JSON has it."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(part) for part in value]
    return str(value) if isinstance(value, Path | Fraction) else value
