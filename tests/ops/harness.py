"""Run a role's deploy against a simulated node, and say what it did: the golden tests' tool.

    node = SimulatedNode()
    assert apply(base, context, node) == ["install chrony", "create /etc/motd", ...]
    assert apply(base, context, node) == []

Commands are shown as people see them (`NodeScript.describe`, or the masked command). Facts that are
no scripts of ours (pyinfra's own) get their values from `facts`: a value, or a function of the
fact's keyword arguments. Commands that are no scripts of ours run without effect on the node:
give the second `apply` the facts of the state after them.
"""

import json
from collections.abc import Mapping
from typing import Any

from pyinfra.api import FactBase, Host, State, StringCommand
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from deploys.context import NodeContext
from deploys.evaluation import Deploy, evaluating
from deploys.protocol import Change
from deploys.script import NodeScript
from tests.ops.simulated import SimulatedNode

Facts = Mapping[type[FactBase[Any]], Any]


class SimulatedConnector(BaseConnector):
    """Carries scripts to a SimulatedNode; records what is run while operations execute."""

    handles_execution = True

    def __init__(self, state: State, host: Host, node: SimulatedNode, facts: Facts) -> None:
        super().__init__(state, host)
        self.node = node
        self.executed: list[str] = []
        self.reading = False
        real = host.get_fact

        def get_fact(fact: Any, *args: Any, **kwargs: Any) -> Any:
            if fact not in facts:
                self.reading = True
                try:
                    return real(fact, *args, **kwargs)
                finally:
                    self.reading = False
            value = facts[fact]
            arguments = {key: item for key, item in kwargs.items() if not key.startswith("_")}
            return value(*args, **arguments) if callable(value) else value

        host.get_fact = get_fact  # type: ignore[method-assign, assignment]

    @staticmethod
    def make_names_data(name: str) -> Any:
        raise NotImplementedError

    def run_shell_command(
        self, command: StringCommand, print_output: bool, print_input: bool, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        if isinstance(command, NodeScript):
            if not self.reading:
                self.executed.extend(command.describe)
            result = self.node.play(command.name, json.loads(json.dumps(command.argument)))
            return True, CommandOutput([OutputLine("stdout", json.dumps(result))])
        if self.reading:
            raise AssertionError(f"a fact nobody answers (give facts=): {command}")
        self.executed.append(str(command))
        return True, CommandOutput([])

    def put_file(
        self, filename_or_io: Any, remote_filename: str, *args: Any, **kwargs: Any
    ) -> bool:
        self.executed.append(f"upload {remote_filename}")
        return True

    def copy_files(self, to: Any, folder: str, files: Mapping[str, Any]) -> None:
        self.executed.append(f"copy {', '.join(sorted(files))} to {folder}")

    def get_file(self, *args: Any, **kwargs: Any) -> bool:
        raise AssertionError("no deploy of ours downloads files")


def apply(
    deploy: Deploy, context: NodeContext, node: SimulatedNode, facts: Facts | None = None
) -> list[str]:
    """Run the deploy; every effect it had, in order. An operation that fails is an error."""
    with evaluating(context.node.name, _connector(node, facts), look_ahead=False) as evaluation:
        evaluation.prepare(deploy, context)
        evaluation.begin()
        for operation in evaluation.operations():
            succeeded, _ = evaluation.run(operation)
            assert succeeded, f"{operation.name} failed"
        connector = evaluation.host.connector
        assert isinstance(connector, SimulatedConnector)
        return connector.executed


def plan(
    deploy: Deploy, context: NodeContext, node: SimulatedNode, facts: Facts | None = None
) -> dict[str, tuple[Change, ...]]:
    """What the deploy would change, by operation, without changing anything."""
    with evaluating(context.node.name, _connector(node, facts), look_ahead=True) as evaluation:
        evaluation.prepare(deploy, context)
        return {
            operation.name: evaluation.changes(operation)
            for operation in evaluation.operations()
            if operation.pending
        }


def _connector(node: SimulatedNode, facts: Facts | None) -> Any:
    return lambda state, host: SimulatedConnector(state, host, node, facts or {})


__all__ = ["SimulatedNode", "apply", "plan"]
