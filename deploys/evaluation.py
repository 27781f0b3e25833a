"""Evaluate one role on one node with pyinfra: a State of its own, prepared, then run step by step.

pyinfra keeps the current State and Host in process-wide variables, and its State is for one use
only. So there is one evaluation at a time in a process, one State a role, one host a State. The
connection outlives it: `connector` decides how commands reach the node.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyinfra.api import Config, Host, Inventory, State, arguments, facts
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_host_op
from pyinfra.api.state import StateStage
from pyinfra.connectors.base import BaseConnector
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from deploys import templates
from deploys.changes import announced
from deploys.context import NodeContext
from deploys.protocol import Change

# A function decorated with @deploy; pyinfra adds keyword arguments of its own to its signature.
Deploy = Callable[..., Any]
ConnectorFactory = Callable[[State, Host], BaseConnector]


@dataclass(frozen=True)
class Operation:
    """One operation of a role; `pending` is None when nobody looked ahead."""

    hash: str
    name: str
    pending: bool | None


class Evaluation:
    """One role on one node. Use `evaluating` to get one."""

    def __init__(self, state: State, host: Host) -> None:
        self.state = state
        self.host = host

    def prepare(self, deploy: Deploy, context: NodeContext) -> None:
        """Call the role's deploy: it reads facts and queues operations, changing nothing."""
        self.state.set_stage(StateStage.Prepare)
        deploy(context)

    def operations(self) -> Iterator[Operation]:
        """The queued operations, in order."""
        for op_hash in self.state.get_op_order():  # type: ignore[no-untyped-call]
            data = self.state.ops[self.host][op_hash]
            name = ", ".join(self.state.get_op_meta(op_hash).names)
            pending = data.operation_meta._maybe_is_change
            yield Operation(op_hash, name.split(" | ", 1)[-1], pending)

    def begin(self) -> None:
        """From here on operations are run."""
        self.state.set_stage(StateStage.Execute)
        self.state.is_executing = True

    def run(self, operation: Operation) -> tuple[bool, bool]:
        """Run one operation: whether it succeeded, and whether it ran any command."""
        try:
            succeeded = run_host_op(self.state, self.host, operation.hash)
        except PyinfraError:
            return False, True
        meta = self.state.ops[self.host][operation.hash].operation_meta
        return succeeded, meta.executed

    def changes(self, operation: Operation) -> tuple[Change, ...]:
        """What the operation said it would change, else the commands it ran (masked)."""
        if found := announced(self.host, operation.hash):
            return found
        meta = self.state.ops[self.host][operation.hash].operation_meta
        return tuple(Change("run", str(command)) for command in meta._commands or ())


def warm_up() -> None:
    """Do once what every worker process would do again after the fork."""
    templates.load_all()
    # pyinfra evaluates the same type hints for every operation and every fact: half its time here.
    hints = arguments.all_global_arguments()
    for module in (arguments, facts):
        module.all_global_arguments = lambda: hints  # type: ignore[attr-defined]


class _OneHost(Inventory):
    """An inventory of one host with a given connector; it does not search for installed ones."""

    def __init__(self, name: str, connector: ConnectorFactory, groups: tuple[str, ...]) -> None:
        self._one = (name, connector, groups)
        super().__init__(([], {}))  # type: ignore[no-untyped-call]

    def make_hosts_and_groups(self, names: Any, groups: Any) -> None:
        """Called by pyinfra with the empty lists given above."""
        del names, groups
        name, connector, of_groups = self._one
        # pyinfra calls the connector with (state, host) and asks nothing else of its class.
        host = Host(name, self, list(of_groups), connector)
        self.hosts = {name: host}
        for group in of_groups:
            self.groups[group].append(host)


@contextmanager
def evaluating(
    name: str,
    connector: ConnectorFactory,
    *,
    look_ahead: bool,
    sudo: bool = False,
    groups: tuple[str, ...] = (),
) -> Iterator[Evaluation]:
    """An evaluation on node `name`; `look_ahead` finds out what is pending without running it.

    `sudo` is for connectors that do not run commands as root already.
    """
    inventory = _OneHost(name, connector, groups)
    host = inventory.get_host(name)
    config = Config(SUDO=sudo, FAIL_PERCENT=0)  # type: ignore[no-untyped-call]
    state = State(inventory, config, check_for_changes=look_ahead)
    host.connected = True
    state.activate_host(host)
    contexts = (
        (ctx_state, state),
        (ctx_inventory, inventory),
        (ctx_config, config),
        (ctx_host, host),
    )
    for manager, value in contexts:
        manager.set(value)  # type: ignore[no-untyped-call]
    try:
        yield Evaluation(state, host)
    finally:
        for manager, _ in contexts:
            manager.reset()
