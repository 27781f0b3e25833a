"""The process that manages one node: a fork that plans and runs stages when the parent says so.

Everything it has to tell goes up the pipe as events; a `Finished` ends each command. A NodeError is
told as NodeFailed and ends the node's part of the run; SIGTERM stops the remote command and exits
at once. What is done to the node is `worker`'s.
"""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType

from deploys.context import NodeContext
from deploys.errors import DeployError, FailureKind, Interrupted, NodeError
from deploys.protocol import Event, NodeFailed
from deploys.sequence import Stage
from deploys.worker import Worker

PR_SET_PDEATHSIG = 1
# What ends a run early.
STOPPING = (signal.SIGINT, signal.SIGTERM)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Command: say what every role would change."""


@dataclass(frozen=True)
class Run:
    """Command: run the roles of one stage."""

    stage: int


@dataclass(frozen=True)
class Finished:
    """Answer: the command has ended; False after a NodeFailed."""

    succeeded: bool


def work(context: NodeContext, stages: tuple[Stage, ...], pipe: Connection) -> None:
    """The worker process's life: obey commands from `pipe` until it closes. Does not return."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    worker = Worker(context, stages, pipe.send)
    code = 0
    try:
        while True:
            command = pipe.recv()
            pipe.send(Finished(_obey(worker, command, pipe.send)))
    except (EOFError, BrokenPipeError, Interrupted):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except BaseException:
        logger.exception("%s: the worker failed", context.node.name)
        code = 1
    finally:
        worker.close()
        sys.stderr.flush()
        os._exit(code)


def _obey(worker: Worker, command: Plan | Run, emit: Callable[[Event], None]) -> bool:
    try:
        if isinstance(command, Plan):
            worker.plan()
        else:
            worker.run(worker.stages[command.stage])
    except NodeError as error:
        emit(NodeFailed(worker.name, error.kind.value, str(error)))
        return False
    except DeployError as error:
        emit(NodeFailed(worker.name, FailureKind.OPERATION.value, str(error)))
        return False
    except Exception as error:
        logger.exception("%s: a defect in a deploy", worker.name)
        message = f"{type(error).__name__}: {error} (traceback in the run's log)"
        emit(NodeFailed(worker.name, FailureKind.DEFECT.value, message))
        return False
    return True


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(f"signal {number}")


def _die_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent goes, however it goes (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
