"""lab/command.py: what a command says, and what is said of one that fails."""

import sys

import pytest

from lab.command import completed, run, succeeds
from lab.errors import CommandFailed

SAYS = (sys.executable, "-c")


def test_what_it_prints_comes_back_and_its_input_is_what_it_is_given() -> None:
    echo = (*SAYS, "print(input())")
    assert run(echo, text_in="one\n") == "one\n"
    assert completed(echo, text_in=None, timeout_seconds=30).returncode == 1


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ((*SAYS, "import sys; sys.exit('no such thing')"), 1, "no such thing"),
        ((*SAYS, "print('only this'); raise SystemExit(3)"), 3, "only this"),
        (("/nonexistent/program",), 127, "/nonexistent/program: not found"),
    ],
)
def test_a_failure_says_why(argv: tuple[str, ...], code: int, said: str) -> None:
    with pytest.raises(CommandFailed, match=said) as failed:
        run(argv)
    assert failed.value.returncode == code
    assert not succeeds(argv)


def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(CommandFailed, match="no end after 0 s"):
        run((*SAYS, "import time; time.sleep(600)"), timeout_seconds=0.2)


def test_messages_are_in_english_whatever_the_person_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert run((*SAYS, "import os; print(os.environ['LC_ALL'])")) == "C.UTF-8\n"
