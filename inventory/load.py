"""Read an inventory file into the model, and say exactly what is wrong when it cannot be.

Pure but for reading the file (and, in a lab without `dns_servers`, this machine's resolv.conf).
"""

import os
import tomllib
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inventory.errors import Inconsistent, InventoryInvalid, InventoryMissing, Problem
from inventory.model import Federation

INVENTORY_VARIABLE = "FEDERATION_INVENTORY"
HERE = Path(__file__).parent
MAX_BYTES = 1 << 20
# The second holds the real servers where the first names only systemd-resolved's own stub.
RESOLV_CONFS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def default_path() -> Path:
    """The file `FEDERATION_INVENTORY` names, else the lab's."""
    return Path(os.environ.get(INVENTORY_VARIABLE) or HERE / "lab.toml")


def load(path: Path | None = None) -> Federation:
    """The federation described by `path` (default: see `default_path`).

    Raises InventoryMissing or InventoryInvalid; the latter lists every problem found.
    """
    path = path or default_path()
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InventoryMissing(f"cannot read the inventory {path}: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise InventoryInvalid(path, (Problem("file", "more than 1 MiB", "at most 1 MiB"),))
    try:
        data = tomllib.loads(raw.decode())
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, numbers int() refuses
        problem = Problem("file", "not TOML in UTF-8", str(error)[:200])
        raise InventoryInvalid(path, (problem,)) from error
    except RecursionError as error:
        raise InventoryInvalid(path, (Problem("file", "nested too deeply", "TOML"),)) from error
    return parse(data, path)


def parse(data: dict[str, Any], path: Path | str = "inventory") -> Federation:
    """The federation in already decoded TOML; raises InventoryInvalid."""
    data = _with_named_nodes(data, path)
    network = data.get("network")
    if (
        data.get("kind") == "lab"
        and isinstance(network, dict)
        and network.get("dns_servers", []) == []
    ):
        servers = [str(address) for address in _own_resolvers()]
        data = {**data, "network": {**network, "dns_servers": servers}}
    try:
        return Federation.model_validate(data)
    except ValidationError as error:
        raise InventoryInvalid(path, _problems(error, data)) from error


def resolvers(resolv_conf: str) -> tuple[IPv4Address, ...]:
    """IPv4 name servers in the text of a resolv.conf that another machine can use, in order."""
    found: list[IPv4Address] = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = IPv4Address(words[1])
            except AddressValueError:
                continue
            if not address.is_loopback and address not in found:
                found.append(address)
    return tuple(found)


def _own_resolvers() -> tuple[IPv4Address, ...]:
    for path in RESOLV_CONFS:
        try:
            found = resolvers(path.read_text())
        except (OSError, ValueError):
            continue
        if found:
            return found
    return ()


def _with_named_nodes(data: dict[str, Any], path: Path | str) -> dict[str, Any]:
    """TOML has `[nodes.NAME]` tables; the model has a tuple of nodes that know their names."""
    nodes = data.get("nodes", {})
    if not isinstance(nodes, dict):
        problem = Problem("nodes", _shown(nodes), "tables named [nodes.NAME]")
        raise InventoryInvalid(path, (problem,))
    problems = []
    for name, node in nodes.items():
        if not isinstance(node, dict):
            problems.append(Problem(f"nodes.{name}", _shown(node), "a table"))
        elif "name" in node:
            wanted = "no such field: the table's own name is the node's"
            problems.append(Problem(f"nodes.{name}.name", _shown(node["name"]), wanted))
    if problems:
        raise InventoryInvalid(path, tuple(problems))
    return {**data, "nodes": [{"name": name, **node} for name, node in nodes.items()]}


def _problems(error: ValidationError, data: dict[str, Any]) -> tuple[Problem, ...]:
    """pydantic's findings, with a node's name in place of its index."""
    found: list[Problem] = []
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, Inconsistent):
            found.extend(cause.problems)
            continue
        place = list(detail["loc"])
        if len(place) > 1 and place[0] == "nodes" and isinstance(place[1], int):
            place[1] = data["nodes"][place[1]]["name"]
        field = ".".join(str(part) for part in place) or "inventory"
        shown = "(missing)" if detail["type"] == "missing" else _shown(detail.get("input"))
        found.append(Problem(field, shown, _expected(detail["type"], detail["msg"])))
    return tuple(found)


def _expected(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "no such field here"
    if kind == "missing":
        return "this field is required"
    return message.removeprefix("Value error, ")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers too long to print, tables too deep to walk
        text = f"a {type(value).__name__}"
    return text if len(text) <= 120 else text[:117] + "..."
