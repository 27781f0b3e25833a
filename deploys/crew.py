"""The worker processes, one a node: start them, ask them, notice when one dies, stop them."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self, cast

from deploys.context import NodeContext
from deploys.errors import FailureKind
from deploys.node_process import STOPPING, Finished, Plan, Run, work
from deploys.protocol import Event, NodeFailed
from deploys.sequence import Stage

STOP_SECONDS = 8.0


@dataclass(frozen=True)
class _Member:
    process: BaseProcess
    pipe: Connection


class Crew:
    """The workers of a run. `emit` takes every event they send, as it comes."""

    def __init__(
        self,
        contexts: Iterable[NodeContext],
        stages: tuple[Stage, ...],
        emit: Callable[[Event], None],
    ) -> None:
        self._contexts = tuple(contexts)
        self._stages = stages
        self._listeners = [emit]
        self._members: dict[str, _Member] = {}

    def __enter__(self) -> Self:
        # An exception raised by a signal's handler is lost inside the hooks that run around a fork:
        # signals wait until all is forked, here and in each worker until it has its own handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            for context in self._contexts:
                self._members[context.node.name] = self._hire(context)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return self

    def _hire(self, context: NodeContext) -> _Member:
        # Forked, not spawned: pyinfra is imported once. This process has no other thread.
        forks = multiprocessing.get_context("fork")
        ours, theirs = forks.Pipe()
        arguments = (context, theirs, ours)
        process = forks.Process(
            target=self._begin, args=arguments, name=context.node.name, daemon=True
        )
        process.start()
        theirs.close()
        return _Member(process, ours)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have every event told to `listener` too."""
        self._listeners.append(listener)

    def ask(self, names: Iterable[str], command: Plan | Run) -> frozenset[str]:
        """Give the command to these workers at once; the names of those that failed."""
        failed: set[str] = set()
        busy: dict[Connection, str] = {}
        for name in names:
            pipe = self._members[name].pipe
            try:
                pipe.send(command)
                busy[pipe] = name
            except OSError:
                failed.add(self._died(name))
        while busy:
            for ready in wait(list(busy)):
                pipe = cast("Connection[Any, Any]", ready)
                name = busy[pipe]
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    failed.add(self._died(name))
                    del busy[pipe]
                    continue
                if not isinstance(message, Finished):
                    self._tell(message)
                    continue
                del busy[pipe]
                if not message.succeeded:
                    failed.add(name)
        return frozenset(failed)

    def stop(self) -> None:
        """Have every worker stop its remote command and exit; kill those that do not."""
        with _deaf():
            for member in self._members.values():
                member.process.terminate()
            for member in self._members.values():
                member.process.join(STOP_SECONDS)
                if member.process.is_alive():
                    member.process.kill()
                    member.process.join()
                member.pipe.close()
            self._members.clear()

    def _begin(self, context: NodeContext, pipe: Connection, parents_end: Connection) -> None:
        """In the child: keep only its own pipe, so that the others' ends close when they should."""
        parents_end.close()
        for member in self._members.values():
            member.pipe.close()
        work(context, self._stages, pipe)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _died(self, name: str) -> str:
        process = self._members[name].process
        with suppress(Exception):
            process.join(1.0)
        message = f"the process managing {name} ended unexpectedly (status {process.exitcode})"
        self._tell(NodeFailed(name, FailureKind.WORKER_DIED.value, message))
        return name


class _deaf:  # noqa: N801
    """Ignore a second Ctrl-C while cleaning up after the first."""

    def __enter__(self) -> None:
        self._old = [signal.signal(number, signal.SIG_IGN) for number in STOPPING]

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(STOPPING, self._old, strict=True):
            signal.signal(number, handler)
