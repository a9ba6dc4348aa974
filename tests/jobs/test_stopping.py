"""The first signal is a wish, told once; a second Ctrl-C is what it was before."""

import os
import signal

import pytest

from venhancer.jobs.stopping import stop_requests


def test_the_first_is_a_wish_and_the_second_ends():
    told: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with stop_requests(told.append, (signal.SIGINT,)) as request:
        assert not request.was_made
        os.kill(os.getpid(), signal.SIGINT)
        assert request.was_made
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert told == ["SIGINT"]


def test_signals_that_are_no_wishes_stay_as_they_are():
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests(lambda _: None, (signal.SIGINT,)):
        assert signal.getsignal(signal.SIGTERM) is before
