"""Manages one node: plans and runs stages over one SSH session, and tells of it as events.

A NodeError ends the node's part of the run; telling of that, and the process this runs in, are
`node_process`'s.
"""

import contextlib
import time
from collections.abc import Callable

from pyinfra.api.exceptions import PyinfraError

from deploys.changes import announced_guard
from deploys.connector import NodeConnector
from deploys.context import NodeContext
from deploys.errors import FailureKind, NodeError, OperationFailed
from deploys.evaluation import Evaluation, Operation, evaluating
from deploys.guarding import confirm
from deploys.inventory_groups import groups_of
from deploys.protocol import (
    Event,
    NodeConnected,
    NodePlanned,
    OperationFinished,
    OperationStarted,
    Result,
    RoleFinished,
    RoleStarted,
)
from deploys.sequence import RoleStep, Stage
from deploys.session import Session, open_session
from inventory.model import Platform


class Worker:
    """What one node's process does; `emit` takes its events."""

    def __init__(
        self, context: NodeContext, stages: tuple[Stage, ...], emit: Callable[[Event], None]
    ) -> None:
        self.context = context
        self.stages = stages
        self.emit = emit
        self.name = context.node.name
        self._session: Session | None = None

    def plan(self) -> None:
        """Evaluate every role of the node without changing anything."""
        begun, total = time.monotonic(), 0
        self._connected()
        for stage in self.stages:
            for role in stage.roles_of(self.context.node):
                total += self._plan_role(role, earlier_pending=total > 0)
        self.emit(NodePlanned(self.name, total, time.monotonic() - begun))

    def run(self, stage: Stage) -> None:
        """Run the stage's roles on the node, in order."""
        for role in stage.roles_of(self.context.node):
            self._run_role(role)
            self._leave_bootstrap_user()

    def close(self) -> None:
        """End the session; what still runs on the node is killed."""
        if self._session is not None:
            self._session.close()

    def _connected(self) -> Session:
        if self._session is None:
            begun = time.monotonic()
            self._session, bare = self._log_in()
            user = self._session.user
            self.emit(NodeConnected(self.name, user, bare, time.monotonic() - begun))
        return self._session

    def _log_in(self) -> tuple[Session, bool]:
        """As the operator user; as the bootstrap user while that one cannot work yet."""
        node, home = self.context.node, self.context.home
        user, first_user = _login_user(self.context), node.ssh.bootstrap_user
        try:
            return open_session(node, home, user), False
        except NodeError as error:
            not_enrolled = error.kind in (FailureKind.WRONG_KEY, FailureKind.OPERATION)
            if not not_enrolled or first_user == user:
                raise
            try:
                return open_session(node, home, first_user), True
            except NodeError as second:
                if second.kind is FailureKind.WRONG_KEY:
                    raise type(error)(error.kind, f"{error}, and {first_user} too") from second
                raise

    def _leave_bootstrap_user(self) -> None:
        """Once the operator user can log in, go on as that one: the way every later run takes."""
        user = _login_user(self.context)
        session = self._connected()
        if session.user == user:
            return
        with contextlib.suppress(NodeError):
            new = open_session(self.context.node, self.context.home, user)
            session.close()
            self._session = new

    @contextlib.contextmanager
    def _evaluating(self, *, look_ahead: bool):  # type: ignore[no-untyped-def]
        session = self._connected()
        connector = None

        def factory(state, host):  # type: ignore[no-untyped-def]
            nonlocal connector
            connector = NodeConnector(state, host, session)
            return connector

        groups = groups_of(self.context.node)
        with evaluating(self.name, factory, look_ahead=look_ahead, groups=groups) as evaluation:
            try:
                yield evaluation
            except PyinfraError as error:
                said = connector.failure if connector is not None else ""
                raise OperationFailed(said or str(error)) from error

    def _plan_role(self, role: RoleStep, *, earlier_pending: bool) -> int:
        begun, pending = time.monotonic(), 0
        try:
            with self._evaluating(look_ahead=True) as evaluation:
                evaluation.prepare(role.deploy, self.context)
                for operation in evaluation.operations():
                    if operation.pending:
                        pending += 1
                        self._tell(role, operation, Result.PENDING, begun, evaluation)
                unchanged = sum(1 for _ in evaluation.operations()) - pending
        except OperationFailed as error:
            if not earlier_pending:
                raise
            # What earlier roles will bring is missing yet; nobody can know more before they ran.
            message = f"cannot be known before the roles above are applied: {error}"
            self.emit(
                OperationFinished(self.name, role.name, role.name, Result.PENDING, 0.0, (), message)
            )
            return pending + 1
        elapsed = time.monotonic() - begun
        self.emit(RoleFinished(self.name, role.name, 0, unchanged, elapsed))
        return pending

    def _run_role(self, role: RoleStep) -> None:
        begun, changed, unchanged = time.monotonic(), 0, 0
        self.emit(RoleStarted(self.name, role.name))
        with self._evaluating(look_ahead=False) as evaluation:
            evaluation.prepare(role.deploy, self.context)
            evaluation.begin()
            for operation in evaluation.operations():
                if self._run_operation(role, evaluation, operation):
                    changed += 1
                else:
                    unchanged += 1
        elapsed = time.monotonic() - begun
        self.emit(RoleFinished(self.name, role.name, changed, unchanged, elapsed))

    def _run_operation(self, role: RoleStep, evaluation: Evaluation, operation: Operation) -> bool:
        begun = time.monotonic()
        self.emit(OperationStarted(self.name, role.name, operation.name))
        failure: NodeError | None = None
        succeeded, changed = False, True
        try:
            succeeded, changed = evaluation.run(operation)
        except NodeError as error:
            failure = error
        guard = announced_guard(evaluation.host, operation.hash)
        if not succeeded and failure is None:
            failure = OperationFailed(evaluation.host.connector.failure)  # type: ignore[attr-defined]
        lost = failure is not None and failure.kind is FailureKind.LOST
        if guard is not None and (succeeded or lost):
            try:
                session = confirm(self.context, *guard, self.emit, begun, failure if lost else None)
                self._go_on_with(session, evaluation)
                failure = None
            except NodeError as error:
                failure = error
        if failure is not None:
            self._tell(role, operation, Result.FAILED, begun, evaluation, str(failure))
            place = f"{role.name}, {operation.name}"
            raise NodeError(failure.kind, f"{place}: {failure}") from failure
        result = Result.CHANGED if changed else Result.UNCHANGED
        self._tell(role, operation, result, begun, evaluation)
        return changed

    def _go_on_with(self, session: Session, evaluation: Evaluation) -> None:
        """Leave the old session for this newer one."""
        self.close()
        self._session = session
        evaluation.host.connector.session = session  # type: ignore[attr-defined]

    def _tell(
        self,
        role: RoleStep,
        operation: Operation,
        result: Result,
        begun: float,
        evaluation: Evaluation,
        message: str = "",
    ) -> None:
        changes = () if result is Result.UNCHANGED else evaluation.changes(operation)
        elapsed = time.monotonic() - begun
        self.emit(
            OperationFinished(
                self.name, role.name, operation.name, result, elapsed, changes, message
            )
        )


def _login_user(context: NodeContext) -> str:
    """As whom a node is managed: Linux nodes get an operator user, a Mac has its administrator."""
    if context.node.platform is Platform.MACOS:
        return context.node.ssh.bootstrap_user
    return context.federation.operator_user
