"""Cutting and healing: a node off the network, or two nodes off each other.

A cut is a rule in a bridge-family nftables table of ours, outside the nodes: they cannot undo it,
it drops established connections too, and it holds while a node reboots, as a pulled cable would.
The list of cuts is a file; the table is always written whole from it.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from inventory.home import Home
from inventory.model import Federation, Node
from lab import lock, requirements
from lab.command import run
from lab.errors import LabError, NotOurs
from lab.names import Names, names_of
from lab.network import present, table_mark

Cut = tuple[str, ...]  # one node's name, or two in inventory order


def cut(federation: Federation, home: Home, node: Node, other: Node | None = None) -> None:
    """Take `node` off the network (this computer included), or the two off each other."""
    wanted = _cut(federation, node, other)
    with _locked(federation, home, "lab cut"):
        _apply(federation, home, tuple(dict.fromkeys((*cuts(home), wanted))))


def heal(
    federation: Federation, home: Home, node: Node | None = None, other: Node | None = None
) -> None:
    """Undo a cut: of one node (its pairs too), of one pair, or, with no node, every one."""
    with _locked(federation, home, "lab heal"):
        if node is None:
            remaining: tuple[Cut, ...] = ()
        elif other is None:
            remaining = tuple(c for c in cuts(home) if node.name not in c)
        else:
            remaining = tuple(c for c in cuts(home) if c != _cut(federation, node, other))
        _apply(federation, home, remaining)


def isolated(home: Home, node: Node) -> bool:
    """Whether `node` is cut off from everything, this computer included."""
    return (node.name,) in cuts(home)


def cuts(home: Home) -> tuple[Cut, ...]:
    """The cuts in force."""
    try:
        return tuple(tuple(names) for names in json.loads(_record(home).read_text()))
    except FileNotFoundError:
        return ()


def forget(home: Home) -> None:
    """Drop the record of cuts; used when the network itself goes."""
    _record(home).unlink(missing_ok=True)


def restore(federation: Federation, home: Home) -> None:
    """Write the table again from the record (after the network was made anew)."""
    _apply(federation, home, cuts(home))


def rules(names: Names, federation: Federation, wanted: Sequence[Cut]) -> str:
    """The nftables program that replaces our table of cuts in one transaction. Pure."""
    alone = [names.port(federation.node(c[0])) for c in wanted if len(c) == 1]
    pairs = [tuple(names.port(federation.node(n)) for n in c) for c in wanted if len(c) == 2]
    entering = "".join(f'        iifname "{port}" drop\n' for port in alone)
    leaving = "".join(f'        oifname "{port}" drop\n' for port in alone)
    between = "".join(
        f'        iifname "{a}" oifname "{b}" drop\n        iifname "{b}" oifname "{a}" drop\n'
        for a, b in pairs
    )
    table = f"table bridge {names.table}"
    return f"""\
{table}
delete {table}
{table} {{
    comment "{names.mark}"
    chain prerouting {{
        type filter hook prerouting priority -300;
{entering}    }}
    chain forward {{
        type filter hook forward priority 0;
{between}    }}
    chain postrouting {{
        type filter hook postrouting priority 0;
{leaving}    }}
}}
"""


def _locked(federation: Federation, home: Home, purpose: str) -> AbstractContextManager[None]:
    names_of(federation, home)  # refuses a site
    requirements.require_root()
    return lock.held(home.lab / lock.NAME, purpose, wait_seconds=lock.PATIENCE_SECONDS)


def _apply(federation: Federation, home: Home, wanted: tuple[Cut, ...]) -> None:
    names = names_of(federation, home)
    if not present(federation, home):
        raise LabError(f"lab {federation.name!r} is not up: fedctl lab up")
    mark = table_mark("bridge", names.table)
    if mark is not None and mark != names.mark:
        raise NotOurs(f"the nftables table bridge {names.table} is not this lab's")
    if wanted:
        run(("nft", "-f", "-"), text_in=rules(names, federation, wanted))
        _record(home).write_text(json.dumps(wanted))
        return
    if mark is not None:
        run(("nft", "delete", "table", "bridge", names.table))
    forget(home)


def _cut(federation: Federation, node: Node, other: Node | None) -> Cut:
    if other is None:
        return (node.name,)
    if other == node:
        raise LabError(f"{node.name} cannot be cut from itself: name another node, or none")
    return tuple(n.name for n in federation.nodes if n.name in (node.name, other.name))


def _record(home: Home) -> Path:
    return home.lab / "cuts.json"
