"""A run that may change something: its folder, its lock, what a person sees, what the ledger gets.

Each part of a run ends well however the work ends: phases stop, the lock goes back, the summary is
written, the event is sent or kept for the next run.
"""

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from deploys.protocol import Outcome
from fedctl import record
from fedctl.app import App
from fedctl.deploy import Stopper
from fedctl.errors import LockLost, RunEnded
from fedctl.exits import Exit, ending_of
from fedctl.fleet_lock import FleetLock, claim_of
from fedctl.interrupts import INTERRUPTS
from fedctl.progress import ShownProgress
from fedctl.remote import Links
from fedctl.runs import Run
from inventory.model import Platform


@dataclass
class Work:
    """A run under way. `facts` end up in its summary and, as `data`, in the ledger's event."""

    app: App
    run: Run
    progress: ShownProgress
    subject: str
    facts: dict[str, Any] = field(default_factory=dict)
    stopper: Stopper = field(default_factory=Stopper)

    def note(self, text: str) -> None:
        """One line for the person and the log."""
        self.progress.note(text)

    @contextmanager
    def locked(self, reason: str, *, no_lock: bool = False) -> Iterator[None]:
        """Hold the fleet lock around the block; losing it stops a deploy and is an error."""
        if no_lock:
            self.app.output.warn(
                "going on without the fleet lock: make sure nobody else is at work"
            )
            yield
            return
        app = self.app
        with Links(app.parts.connect, app.federation, app.home) as links:
            nodes = app.federation.on(Platform.DEBIAN)
            lock = FleetLock(
                links, nodes, claim_of(self.run.id, reason), note=self.note, lost=self.stopper.stop
            )
            try:
                with lock:
                    INTERRUPTS.check()
                    yield
            except RunEnded as error:
                # A deploy that the lost lock stopped calls itself interrupted; nobody pressed keys.
                if self.stopper.reason and error.outcome is Outcome.INTERRUPTED:
                    raise self._lock_lost() from error
                raise
        if self.stopper.reason:
            raise self._lock_lost()

    def _lock_lost(self) -> LockLost:
        advice = "run the same command again when nobody else is at work"
        return LockLost(self.stopper.reason, advice)


@contextmanager
def working(
    app: App, command: str, subject: str = "", *, tell_ledger: bool = True
) -> Iterator[Work]:
    """A run of `command`: folder and log first, summary and event last."""
    with INTERRUPTS.active():
        run = Run.start(app.home.runs, command, app.argv, app.now)
        work = Work(app, run, ShownProgress(app.output, run.log), subject or app.federation.name)
        error: BaseException | None = None
        try:
            with work.progress:
                yield work
                INTERRUPTS.check()
        except BaseException as raised:
            error = raised
            raise
        finally:
            with INTERRUPTS.shielded_quietly():
                _end(work, command, error, tell_ledger=tell_ledger)


def _end(work: Work, command: str, error: BaseException | None, *, tell_ledger: bool) -> None:
    ending = ending_of(error) if error is not None else None
    code = int(ending.code) if ending else int(Exit.DONE)
    said = {"error": ending.message} if ending and ending.message else {}
    if error is not None and ending is not None:
        work.run.log(f"{type(error).__name__}: {ending.message}")
    work.run.finish(code, **said, **work.facts)
    if tell_ledger:
        event = record.event_of(
            command=command,
            subject=work.subject,
            actor=actor(),
            node=socket.gethostname(),
            run=work.run.id,
            code=code,
            now=work.app.now(),
            started=work.run.started,
            facts=work.facts,
        )
        record.keep(work.run, event)
        if code in (Exit.DONE, Exit.FAILED, Exit.ROLLED_BACK):
            record.send_waiting(work.app, work.run.log)


def actor() -> str:
    """Who is at work, as the ledger names them."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
