"""The run-time type checker of the test suite: shapes in annotations are tests."""

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function):
    """Check a function's arguments and result; a method that returns Self can only be checked with its class."""
    try:
        return _check(function)
    except BeartypeDecorHintPep673Exception:
        return function
