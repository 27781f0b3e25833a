"""What a person sees while work goes on: off a terminal, on one, and in the log."""

import re
import threading
from io import StringIO

import pytest
from rich.console import Console

from fedctl.progress import ShownProgress
from fedctl.render import Output, age, plain, seconds
from tests.unit.fedctl.fakes import NOW


class Clock:
    """A second a look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def terminal() -> tuple[Output, StringIO]:
    stream = StringIO()
    output = Output(stream, stream)
    output.people = Console(file=stream, force_terminal=True, width=80, highlight=False)
    return output, stream


def test_off_a_terminal_each_phase_is_two_plain_lines() -> None:
    err, log = StringIO(), []
    progress = ShownProgress(Output(StringIO(), err), log.append, Clock())
    with progress, progress.phase("Outer"):
        progress.note("a detail")
        with progress.phase("Inner"):
            pass
    assert err.getvalue().splitlines() == [
        "… Outer",
        "    a detail",
        "  … Inner",
        "  ✓ Inner  1.0 s",
        "✓ Outer  3.0 s",
    ]
    assert "✓ Outer  3.0 s" in log


def test_a_failed_phase_is_marked_and_the_error_goes_on() -> None:
    err = StringIO()
    progress = ShownProgress(Output(StringIO(), err), clock=Clock())
    with pytest.raises(KeyboardInterrupt), progress, progress.phase("Work"):
        raise KeyboardInterrupt
    assert "✗ Work" in err.getvalue()


def test_data_is_not_written_into_a_line_that_is_being_redrawn() -> None:
    output, stream = terminal()
    with ShownProgress(output) as progress, progress.phase("Work"):
        output.text("data")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert any(line.strip() == "data" for line in re.split(r"[\r\n]+", text))
    assert output.hold() is not progress.paused


def test_many_threads_draw_at_once_and_none_waits_for_ever() -> None:
    output, _ = terminal()
    with ShownProgress(output) as progress:

        def work(number: int) -> None:
            for step in range(20):
                with progress.phase(f"{number}.{step}"):
                    progress.note("a detail")

        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


def test_durations_and_ages_as_people_read_them() -> None:
    assert [seconds(s) for s in (0.04, 9.94, 12.3, 59.9, 185)] == [
        "0.0 s", "9.9 s", "12 s", "60 s", "3 min 05 s",
    ]  # fmt: skip
    assert age(NOW, NOW) == "0 s ago"


def test_anything_becomes_json() -> None:
    assert plain({1: (NOW, {"x"}), "e": ValueError("v")}) == {
        "1": ["2026-03-01T12:00:00+00:00", ["x"]],
        "e": "v",
    }


def test_tables_are_not_cut_off_a_terminal() -> None:
    out = StringIO()
    Output(out, StringIO()).table(("a", "b"), [("x" * 300, "y")])
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1] == "x" * 300 + "  y"
