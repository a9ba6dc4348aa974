"""The run-time type checker of the test suite: shapes in annotations are tests."""

from collections import Counter
from functools import wraps

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

CHECKED = 20
"""Calls of a function in one test that are checked; checking all of them would take as long as the work itself."""
calls = Counter()
"""By function, since the last test began."""

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function):
    """Check a function's arguments and result; a method that returns Self can only be checked with its class."""
    try:
        checked = _check(function)
    except BeartypeDecorHintPep673Exception:
        return function

    @wraps(function)
    def first_calls(*arguments, **named):
        calls[checked] += 1
        return checked(*arguments, **named) if calls[checked] <= CHECKED else function(*arguments, **named)

    return first_calls
