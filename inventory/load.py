"""Read an inventory file into the model, and say exactly what is wrong when it cannot be.

Pure but for reading the file (and, in a lab without `dns_servers`, this machine's resolv.conf).
"""

import os
import tomllib
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inventory.errors import InventoryInvalid, InventoryMissing, Problem
from inventory.model import Federation

INVENTORY_VARIABLE = "FEDERATION_INVENTORY"
HERE = Path(__file__).parent
MAX_BYTES = 1 << 20
RESOLV_CONF = Path("/etc/resolv.conf")


def default_path() -> Path:
    """The file `FEDERATION_INVENTORY` names, else the lab's."""
    return Path(os.environ.get(INVENTORY_VARIABLE) or HERE / "lab.toml")


def load(path: Path | None = None) -> Federation:
    """The federation described by `path` (default: see `default_path`).

    Raises InventoryMissing or InventoryInvalid; the latter lists every problem found.
    """
    path = path or default_path()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InventoryMissing(f"cannot read the inventory {path}: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise InventoryInvalid(path, (Problem("file", f"{len(raw)} bytes", "at most 1 MiB"),))
    try:
        data = tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InventoryInvalid(path, (Problem("file", "not TOML", str(error)),)) from error
    return parse(data, path)


def parse(data: dict[str, Any], path: Path | str = "inventory") -> Federation:
    """The federation in already decoded TOML; raises InventoryInvalid."""
    data = _with_named_nodes(data, path)
    network = data.get("network")
    if data.get("kind") == "lab" and isinstance(network, dict) and not network.get("dns_servers"):
        servers = [str(address) for address in resolvers(_resolv_conf())]
        data = {**data, "network": {**network, "dns_servers": servers}}
    try:
        return Federation.model_validate(data)
    except ValidationError as error:
        raise InventoryInvalid(path, _problems(error)) from error


def resolvers(resolv_conf: str) -> tuple[IPv4Address, ...]:
    """IPv4 name servers listed in the text of a resolv.conf, in order."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(IPv4Address(words[1]))
            except AddressValueError:
                continue
    return tuple(found)


def _resolv_conf() -> str:
    try:
        return RESOLV_CONF.read_text()
    except OSError:
        return ""


def _with_named_nodes(data: dict[str, Any], path: Path | str) -> dict[str, Any]:
    """TOML has `[nodes.NAME]` tables; the model has a tuple of nodes that know their names."""
    nodes = data.get("nodes", {})
    if not isinstance(nodes, dict):
        problem = Problem("nodes", type(nodes).__name__, "tables named [nodes.NAME]")
        raise InventoryInvalid(path, (problem,))
    named = []
    for name, node in nodes.items():
        if not isinstance(node, dict):
            problem = Problem(f"nodes.{name}", repr(node)[:80], "a table")
            raise InventoryInvalid(path, (problem,))
        named.append({"name": name, **node})
    return {**data, "nodes": named}


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    found = []
    for detail in error.errors(include_url=False):
        place = list(detail["loc"])
        value = detail.get("input")
        shown = "(missing)" if detail["type"] == "missing" else repr(value)
        if not place:
            shown = "(the whole file)"
        field = ".".join(str(part) for part in place) or "inventory"
        found.append(Problem(field, shown[:120], detail["msg"]))
    return tuple(found)
