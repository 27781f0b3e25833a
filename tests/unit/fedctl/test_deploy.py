"""Starting the deploy process, hearing it, and ending it: with small programs in its place."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploys.protocol import Event, NodeFailed, Outcome, Summary, encode
from fedctl.deploy import Order, Stopper, run_deploy
from fedctl.errors import FedctlError
from fedctl.interrupts import INTERRUPTS


@dataclass(frozen=True)
class Program(Order):
    """A deploy process that is this Python text."""

    text: str = ""

    def argv(self) -> list[str]:
        return [sys.executable, "-u", "-c", self.text]


SUMMARY = encode(Summary("apply", Outcome.CHANGED, "", 1.0))
STOPPED = encode(Summary("apply", Outcome.INTERRUPTED, "interrupted", 1.0))
FAILED = encode(NodeFailed("n", "down", "no answer"))
PATIENT = f"""
import signal, sys, time
def stop(*_):
    print('''{STOPPED}''')
    sys.exit(1)
signal.signal(signal.SIGINT, stop)
print('''{FAILED}''')
time.sleep(60)
"""


@pytest.fixture
def signals() -> Iterator[None]:
    with INTERRUPTS.active():
        yield


def run(
    text: str,
    tmp_path: Path,
    stopper: Stopper | None = None,
    then: Callable[[], None] = lambda: None,
) -> tuple[Summary, list[Event]]:
    """Run it; `then` is done in a moment, by another thread, once something was heard of it."""
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        threading.Timer(0.1, then).start()

    order = Program("apply", Path("x"), text=text)
    summary = run_deploy(order, hear, tmp_path / "log", stopper or Stopper())
    return summary, heard


def test_events_are_heard_and_the_summary_returned(tmp_path: Path) -> None:
    summary, heard = run(f"print('''{FAILED}\\n\\n{SUMMARY}''')", tmp_path)
    assert summary.outcome is Outcome.CHANGED
    assert heard == [NodeFailed("n", "down", "no answer")]


def test_a_process_that_dies_is_reported_with_what_it_wrote(tmp_path: Path) -> None:
    with pytest.raises(FedctlError, match="boom") as failed:
        run("import sys; sys.exit('boom')", tmp_path)
    assert str(tmp_path / "log") in failed.value.advice


def test_a_lost_lock_stops_it(tmp_path: Path) -> None:
    stopper = Stopper()
    summary, heard = run(PATIENT, tmp_path, stopper, lambda: stopper.stop("the lock was broken"))
    assert summary.outcome is Outcome.INTERRUPTED
    assert stopper.reason == "the lock was broken"
    assert len(heard) == 1


@pytest.mark.usefixtures("signals")
def test_ctrl_c_lets_it_end_in_order(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(PATIENT, tmp_path, then=lambda: os.kill(os.getpid(), signal.SIGINT))
    assert time.monotonic() - began < 50


@pytest.mark.usefixtures("signals")
def test_a_process_that_does_not_listen_is_made_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedctl.deploy.STOP_SECONDS", 0.3)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(deaf, tmp_path)
    assert time.monotonic() - began < 50
    timer.join()


def test_the_command_line_names_the_same_inventory() -> None:
    argv = Order("plan", Path("/x/lab.toml"), ("data", "gateway"), ("ground",)).argv()
    assert argv[1:4] == ["-m", "deploys.run", "plan"]
    assert argv[4:] == [
        "--inventory=/x/lab.toml", "--limit=data", "--limit=gateway", "--stage=ground",
    ]  # fmt: skip
