"""Ctrl-C: at once, held back, and never lost."""

import os
import signal

import pytest

from fedctl.interrupts import Interrupts


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_interrupts_at_once_and_the_old_handler_comes_back() -> None:
    interrupts, before = Interrupts(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts.active():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_go_is_the_same(number: signal.Signals) -> None:
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.active():
        os.kill(os.getpid(), number)


def test_a_shielded_block_ends_first() -> None:
    interrupts, done = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts.active():
        with interrupts.shielded():
            interrupt()
            done.append("cleaned up")
        done.append("never reached")
    assert done == ["cleaned up"]


def test_at_the_very_end_it_changes_nothing() -> None:
    interrupts = Interrupts()
    with interrupts.active(), interrupts.shielded_quietly():
        interrupt()


def test_one_that_python_dropped_is_raised_again() -> None:
    interrupts = Interrupts()
    with interrupts.active():
        try:
            interrupt()
        except KeyboardInterrupt:
            dropped = True
        assert dropped
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        with interrupts.shielded():
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    with interrupts.active():
        interrupts.check()
