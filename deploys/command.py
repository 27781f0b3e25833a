"""The command line behind `python -m deploys.run`: what to run, on which nodes, for whom."""

import argparse
import gc
import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from deploys import engine as engines
from deploys import patroni as patronis
from deploys import release as releases
from deploys.context import Engine, NodeContext
from deploys.crew import Crew
from deploys.errors import DeployError, Interrupted
from deploys.evaluation import warm_up
from deploys.protocol import Event, Outcome, Summary, encode
from deploys.rollout import Rollout
from deploys.sequence import Stage, stages
from inventory.errors import InventoryError
from inventory.home import home_of
from inventory.load import load
from inventory.model import Federation, Node, Role

GOOD = frozenset({Outcome.UNCHANGED, Outcome.CHANGED, Outcome.PENDING})


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = _options(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    begun = time.monotonic()
    try:
        summary = _run(options, begun)
    except Interrupted:
        summary = Summary(options.mode, Outcome.INTERRUPTED, "interrupted", _since(begun))
    except (DeployError, InventoryError) as error:
        summary = Summary(options.mode, Outcome.FAILED, str(error), _since(begun))
    emit(summary)
    return 0 if summary.outcome in GOOD else 1


def emit(event: Event) -> None:
    """Write one event; a reader that has gone away interrupts the run."""
    try:
        sys.stdout.write(encode(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        # Nothing more can be said; do not let the interpreter try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Interrupted("nobody reads the events") from error


def _run(options: argparse.Namespace, begun: float) -> Summary:
    federation = load(options.inventory)
    nodes = federation.select(tuple(options.limit))
    chosen = _stages(options.stage)
    contexts = _contexts(federation, nodes, chosen)
    warm_up()
    gc.freeze()
    with Crew(contexts, chosen, emit) as crew:
        rollout = Rollout(crew, chosen, nodes, emit)
        try:
            rollout.plan(options.mode)
            if options.mode == "apply":
                rollout.apply()
        except Interrupted:
            crew.stop()
            return rollout.interrupted(options.mode, _since(begun))
    return rollout.summary(options.mode, _since(begun))


def _contexts(
    federation: Federation, nodes: tuple[Node, ...], chosen: tuple[Stage, ...]
) -> tuple[NodeContext, ...]:
    home, now = home_of(federation.name), datetime.now(UTC)
    release = releases.build(home)
    engine: Engine | None = None
    serving = [n for n in nodes if n.has(Role.INFERENCE)]
    if any(role.name == "inference" for s in chosen for n in serving for role in s.roles_of(n)):
        model = os.environ.get(engines.MODEL_VARIABLE)
        engine = engines.build(home, federation, Path(model) if model else None)
    patroni = patronis.build(home) if any(n.has(Role.DATA) for n in nodes) else None
    return tuple(
        NodeContext(
            federation,
            node,
            home,
            now,
            release,
            engine if node in serving else None,
            patroni if node.has(Role.DATA) else None,
        )
        for node in nodes
    )


def _stages(titles: list[str]) -> tuple[Stage, ...]:
    known = stages()
    if unknown := set(titles) - {stage.title for stage in known}:
        raise DeployError(
            f"no stage {', '.join(sorted(unknown))}; there are: "
            + ", ".join(stage.title for stage in known)
        )
    return tuple(stage for stage in known if not titles or stage.title in titles)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploys.run", description="Plan or apply every role of every node."
    )
    parser.add_argument("mode", choices=("plan", "apply"))
    parser.add_argument("--inventory", type=Path, help="the TOML file (default: as fedctl's)")
    parser.add_argument("--limit", action="append", default=[], metavar="NODE|ROLE")
    parser.add_argument("--stage", action="append", default=[], metavar="TITLE")
    return parser.parse_args(arguments)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(f"signal {number}")


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)
