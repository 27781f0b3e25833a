"""Commands on nodes over SSH, with pinned host keys, as the operator or (bare nodes) as root.

How to dial and what can go wrong is `deploys.session`'s; here are Fabric connections over such
clients, and many nodes at once. Nothing waits longer than it was told to.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from deploys.errors import ConnectionLost, FailureKind, NodeError, Unreachable
from inventory.home import Home
from inventory.model import Federation, Node

T = TypeVar("T")
R = TypeVar("R")
DEFAULT_SECONDS = 30.0


@dataclass(frozen=True)
class Done:
    """How a command on a node ended."""

    code: int
    out: str
    err: str


class Link(Protocol):
    """A session with one node."""

    @property
    def node(self) -> Node:
        """The node at the other end."""

    @property
    def user(self) -> str:
        """Who we are there."""

    def run(
        self,
        argv: Sequence[str],
        *,
        root: bool = False,
        stdin: str = "",
        seconds: float = DEFAULT_SECONDS,
    ) -> Done:
        """Run a command and keep what it prints.

        Raises NodeError when the session dies or the command takes longer than `seconds`.
        """

    def stream(
        self, argv: Sequence[str], line: Callable[[str, bool], None], *, root: bool = False
    ) -> int:
        """Run a command, calling `line(text, is_stderr)` as lines come; its exit code."""

    def close(self) -> None:
        """End the session, and whatever runs in it."""


Connect = Callable[[Federation, Home, Node], Link]


def connect(federation: Federation, home: Home, node: Node) -> Link:
    """A session with `node`, as the operator's user, else as the bootstrap user.

    Raises Unreachable; a refused key is reported once, for both users.
    """
    from deploys.session import connect as dial
    from fedctl.ssh import FabricLink

    try:
        return FabricLink(
            node, federation.operator_user, dial(node, home, federation.operator_user)
        )
    except Unreachable as error:
        if error.kind is not FailureKind.WRONG_KEY:
            raise
        first = error
    user = node.ssh.bootstrap_user
    if user == federation.operator_user:
        raise first
    try:
        return FabricLink(node, user, dial(node, home, user))
    except Unreachable as error:
        if error.kind is not FailureKind.WRONG_KEY:
            raise
        raise Unreachable(
            FailureKind.WRONG_KEY,
            f"{node.name} ({node.address}, port {node.ssh.port}) takes the key {home.ssh_public} "
            f"neither for {federation.operator_user} nor for {user}",
        ) from error


class Links:
    """Sessions with several nodes, opened at once; nodes that cannot be reached are remembered."""

    def __init__(self, connect: Connect, federation: Federation, home: Home) -> None:
        self._connect, self._federation, self._home = connect, federation, home
        self._guard = threading.Lock()
        self.open: dict[str, Link] = {}
        self.failed: dict[str, NodeError] = {}

    def __enter__(self) -> "Links":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every session."""
        with self._guard:
            links, self.open = list(self.open.values()), {}
        for link in links:
            link.close()

    def reach(self, nodes: Sequence[Node]) -> None:
        """Connect to those of `nodes` that have no session yet."""
        missing = [node for node in nodes if node.name not in self.open]
        each(missing, self._reach)

    def need(self, nodes: Sequence[Node]) -> list[Link]:
        """Connect to `nodes`; every session, or the NodeError of the first that has none."""
        self.reach(nodes)
        return [self.to(node.name) for node in nodes]

    def to(self, name: str) -> Link:
        """The session with a node that was reached for; raises the NodeError it failed with."""
        if name not in self.open:
            raise self.failed[name]
        return self.open[name]

    def ask(self, nodes: Sequence[Node], question: Callable[[Link], T]) -> dict[str, T]:
        """The answer of every node that gives one; a session that dies is remembered and gone."""
        self.reach(nodes)
        links = [self.open[node.name] for node in nodes if node.name in self.open]

        def put(link: Link) -> tuple[str, T] | None:
            try:
                return link.node.name, question(link)
            except NodeError as error:
                self.drop(link.node.name, error)
                return None

        answers = dict(filter(None, each(links, put)))
        return {node.name: answers[node.name] for node in nodes if node.name in answers}

    def drop(self, name: str, error: NodeError) -> None:
        """Forget a session that failed."""
        with self._guard:
            link = self.open.pop(name, None)
            self.failed[name] = error
        if link is not None:
            link.close()

    def _reach(self, node: Node) -> None:
        try:
            link = self._connect(self._federation, self._home, node)
        except NodeError as error:
            with self._guard:
                self.failed[node.name] = error
            return
        with self._guard:
            self.open[node.name] = link
            self.failed.pop(node.name, None)


def each(items: Sequence[T], act: Callable[[T], R]) -> list[R]:
    """`act` on every item at once, results in order; the first exception is raised at the end.

    Threads are daemons: an interrupted command must not wait for a node that says nothing.
    """
    results: dict[int, R] = {}
    errors: dict[int, BaseException] = {}

    def run(number: int, item: T) -> None:
        try:
            results[number] = act(item)
        except BaseException as error:
            errors[number] = error

    threads = [
        threading.Thread(target=run, args=(number, item), daemon=True)
        for number, item in enumerate(items)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(items))]


def worst(errors: Mapping[str, NodeError]) -> NodeError | None:
    """The failure to end with when several nodes failed: all of them in words."""
    if not errors:
        return None
    kinds = {error.kind for error in errors.values()}
    text = "\n".join(str(error) for error in errors.values())
    return NodeError(kinds.pop() if len(kinds) == 1 else FailureKind.DOWN, text)


__all__ = ["ConnectionLost", "Done", "Link", "Links", "NodeError", "connect", "each", "worst"]
