"""`make game-day-gateway`: break the lab's gateways, engine, Postgres and spool disk under load.

Prints what clients were told, and exits 1 with the evidence kept when a promise was broken. It
works on the lab that is up (`make up`), never on real machines, and leaves its requests in that
lab's log.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from inventory.home import home_of
from inventory.load import load
from tests.bench.machine import machine
from tests.chaos.front.faults import FRONT_FAULTS, mend_all
from tests.chaos.front.fleet import Fronts
from tests.chaos.front.page import page, table
from tests.chaos.front.rounds import FrontPlay, FrontReport, asking
from tests.chaos.game_day import RESULT, conducted, fedctl, judged, options, say

PAGE = RESULT.with_name("gateway-chaos.md")
ROUNDS = 3
# vLLM on the CPU takes half a minute to load; a gateway whose spool is full refuses as long.
RESUME_SECONDS = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Play all rounds, print the table, save the page."""
    wanted = options(__doc__, FRONT_FAULTS, ROUNDS, PAGE).parse_args(arguments)
    federation = load()
    fronts = Fronts(federation, home_of(federation.name), fedctl)
    with tempfile.TemporaryDirectory(prefix="federation-game-day-") as folder:
        reports = [played(fronts, name, wanted.rounds, Path(folder)) for name in wanted.faults]
    sys.stdout.write(table(reports))
    if wanted.save:
        PAGE.write_text(page(reports, machine()))
    return 1 if any(report.violations for report in reports) else 0


def played(fronts: Fronts, name: str, rounds: int, folder: Path) -> FrontReport:
    """All rounds of one fault under one load, judged."""
    run = f"{name}-{folder.name.rpartition('-')[2]}"
    load = asking(fronts, run, folder / run)
    play = FrontPlay(fronts, load, say, resume_seconds=RESUME_SECONDS)
    try:
        conducted(play, FRONT_FAULTS[name], rounds)
    finally:
        mend_all(fronts)
    return judged(play, play.finish)


if __name__ == "__main__":
    sys.exit(main())
