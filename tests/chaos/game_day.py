"""`make game-day`: break the lab's ledger in every way we know, ten times over, under load.

Prints how long writing was interrupted, and exits 1 with the evidence kept when a promise was
broken. It works on the lab that is up (`make up`), never on real machines, and leaves some hundred
thousand events of its own in that lab's log.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from inventory.home import home_of
from inventory.load import load
from tests.bench.machine import machine
from tests.chaos.cluster import Cluster
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.load import Load
from tests.chaos.page import page, table
from tests.chaos.rounds import Evidence, Play, Report, Stage, keep_evidence

FEDCTL = Path(sys.executable).parent / "fedctl"
COMMAND_SECONDS = 600
RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "ledger-chaos.md"
EVIDENCE = Path("/var/tmp/federation-game-day")
ROUNDS = 10
R = TypeVar("R", bound=Evidence)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play all rounds, print the table, save the page when every fault had all its rounds."""
    wanted = parsed(arguments)
    federation = load()
    cluster = Cluster(federation, home_of(federation.name), fedctl)
    with tempfile.TemporaryDirectory(prefix="federation-game-day-") as folder:
        reports = [
            played(cluster, name, wanted.rounds, Path(folder), wanted.clients)
            for name in wanted.faults
        ]
    text = table(reports)
    sys.stdout.write(text)
    if wanted.save:
        RESULT.write_text(page(reports, machine()))
    return 1 if any(report.violations for report in reports) else 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = options(__doc__, FAULTS, ROUNDS, RESULT)
    parser.add_argument("--clients", type=int, default=4)
    return parser.parse_args(arguments)


def options(
    about: str | None, faults: Collection[str], rounds: int, result: Path
) -> argparse.ArgumentParser:
    """What every game day is told: how many rounds of which faults, and whether to keep it."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--save", action="store_true", help=f"write {result.name}")
    parser.add_argument("faults", nargs="*", default=list(faults), help=", ".join(faults))
    return parser


def played(cluster: Cluster, name: str, rounds: int, folder: Path, clients: int) -> Report:
    """All rounds of one fault under one load, judged."""
    run = f"{name}-{folder.name.rpartition('-')[2]}"
    load = Load(run, folder / run, cluster.settings, cluster.servers, clients=clients)
    play = Play(cluster, load, say)
    conducted(play, FAULTS[name], rounds)
    return judged(play, play.finish)


def conducted(play: Stage, fault: Fault, rounds: int) -> None:
    """Start the load and play the rounds; evidence is kept when that fails."""
    try:
        play.start()
        for number in range(1, rounds + 1):
            play.play(fault, number)
    except BaseException:
        play.load.stop()
        say(f"evidence: {keep_evidence(Report(play.load.run), play, EVIDENCE)}")
        raise


def judged(play: Stage, finish: Callable[[], R]) -> R:
    """The report of a play; evidence is kept when it was not in order."""
    try:
        report = finish()
    except BaseException:
        say(f"evidence: {keep_evidence(Report(play.load.run), play, EVIDENCE)}")
        raise
    for violation in report.violations[:20]:
        say(f"BROKEN: {violation}")
    if report.violations:
        say(f"{len(report.violations)} in all; evidence: {keep_evidence(report, play, EVIDENCE)}")
    return report


def fedctl(*arguments: str) -> str:
    """`fedctl ARGUMENTS`; AssertionError with what it said when it fails."""
    done = subprocess.run(
        [str(FEDCTL), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"fedctl {' '.join(arguments)} exits {done.returncode}: {done.stderr}")
    return done.stdout


def say(text: str) -> None:
    """Tell the person."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
