"""The lab's network on this computer: a bridge, an address, NAT, and nothing that was there before.

The bridge carries our mark as its alias and the tables carry it as their comment; whatever has our
name without our mark belongs to someone else and is refused, never changed. Two kernel settings may
have to be raised; their old values are kept in /run and put back when the last lab goes down.
"""

import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from inventory.home import Home
from inventory.model import Federation
from lab.command import run, succeeds
from lab.errors import CommandFailed, NotOurs
from lab.names import MARK_PREFIX, Names, gateway_of, names_of

# In /run, as the settings themselves: both are gone after a restart of this computer.
SAVED = Path("/run/federation-operator/kernel-settings.json")
# The table is not there, or the kernel knows no tables of that family.
ABSENT = ("No such file or directory", "not supported")
COMMENT = re.compile(r'^\tcomment "(.*)"$', re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """A kernel setting the lab needs to be at least `least`."""

    path: Path
    least: int


SETTINGS = (
    Setting(Path("/proc/sys/net/ipv4/ip_forward"), 1),
    # Every systemd in a lab counts against root's limit on this computer, often only 128.
    Setting(Path("/proc/sys/fs/inotify/max_user_instances"), 1024),
)


def ensure(federation: Federation, home: Home) -> None:
    """Bring the bridge and the NAT up; raises NotOurs when a name or the range is taken."""
    names = names_of(federation, home)
    _refuse_foreign(federation, names)
    if not _link(names.bridge):
        _add_bridge(names)
    address = gateway_of(federation)
    if str(address) not in _addresses(names.bridge):
        run(("ip", "address", "add", str(address), "dev", names.bridge))
    run(("ip", "link", "set", names.bridge, "up"))
    run(("nft", "-f", "-"), text_in=nat_rules(names, federation.network.subnet))
    _raise_settings()


def remove(federation: Federation, home: Home) -> None:
    """Take down what `ensure` made; nothing happens to what is not ours or not there."""
    names = names_of(federation, home)
    if _is_our_bridge(names):
        run(("ip", "link", "delete", names.bridge))
    for family in ("inet", "bridge"):
        if table_mark(family, names.table) == names.mark:
            run(("nft", "delete", "table", family, names.table))
    _restore_settings()


def present(federation: Federation, home: Home) -> bool:
    """Whether the lab's bridge is there and ours."""
    return _is_our_bridge(names_of(federation, home))


def nat_rules(names: Names, subnet: IPv4Network) -> str:
    """The nftables program that replaces our NAT table in one transaction. Pure."""
    return f"""\
table inet {names.table}
delete table inet {names.table}
table inet {names.table} {{
    comment "{names.mark}"
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        ip saddr {subnet} ip daddr != {subnet} masquerade
    }}
}}
"""


def table_mark(family: str, table: str) -> str | None:
    """The comment of a table; "" when it has none, None when there is no such table."""
    try:
        text = run(("nft", "list", "table", family, table))
    except CommandFailed as error:
        if any(text in error.output for text in ABSENT):
            return None
        raise
    match = COMMENT.search(text)
    return match[1] if match else ""


def conflicts(subnet: IPv4Network, bridge: str, links: list[dict[str, Any]]) -> list[str]:
    """Interfaces other than `bridge` (from `ip -json address`) that use addresses of `subnet`."""
    return [
        f"{link['ifname']} ({info['local']}/{info['prefixlen']})"
        for link in links
        if link["ifname"] != bridge
        for info in link["addr_info"]
        if info["family"] == "inet"
        and IPv4Interface(f"{info['local']}/{info['prefixlen']}").network.overlaps(subnet)
    ]


def _refuse_foreign(federation: Federation, names: Names) -> None:
    subnet = federation.network.subnet
    link = _link(names.bridge)
    if link and link.get("ifalias") != names.mark:
        raise NotOurs(
            f"the interface {names.bridge} exists and is not this lab's "
            f"(alias: {link.get('ifalias') or 'none'}): rename the federation, or remove it with "
            f"'ip link delete {names.bridge}' if nothing uses it"
        )
    for family in ("inet", "bridge"):
        mark = table_mark(family, names.table)
        if mark is not None and mark != names.mark:
            raise NotOurs(
                f"the nftables table {family} {names.table} exists and is not this lab's "
                f"(comment: {mark or 'none'}): rename the federation, or remove it with "
                f"'nft delete table {family} {names.table}' if nothing uses it"
            )
    taken = conflicts(subnet, names.bridge, json.loads(run(("ip", "-json", "address"))))
    if taken:
        raise NotOurs(
            f"{subnet} is in use on this computer by {', '.join(taken)}: "
            "give the lab another network.subnet in its inventory"
        )
    routes = json.loads(run(("ip", "-json", "route", "show", "root", str(subnet))))
    for route in routes:
        if route.get("dev") != names.bridge:
            raise NotOurs(
                f"{subnet} is routed through {route.get('dev', 'another route')}: "
                "give the lab another network.subnet in its inventory"
            )


def _add_bridge(names: Names) -> None:
    """Make the bridge under a passing name; it gets its own once it carries our mark."""
    passing = f"fedtmp-{names.tag}"
    if _link(passing):
        run(("ip", "link", "delete", passing))
    # A fixed hardware address: else it follows the ports, and nodes lose us when one leaves.
    hardware = ":".join(("02", *(names.tag[i : i + 2] for i in range(0, 8, 2)), "01"))
    run(("ip", "link", "add", passing, "address", hardware, "type", "bridge"))
    run(("ip", "link", "set", passing, "alias", names.mark))
    run(("ip", "link", "set", passing, "name", names.bridge))


def _is_our_bridge(names: Names) -> bool:
    return _link(names.bridge).get("ifalias") == names.mark


def _link(name: str) -> dict[str, Any]:
    if not succeeds(("ip", "link", "show", name)):
        return {}
    found: dict[str, Any] = json.loads(run(("ip", "-json", "link", "show", name)))[0]
    return found


def _addresses(name: str) -> list[str]:
    links = json.loads(run(("ip", "-json", "address", "show", name)))
    return [f"{i['local']}/{i['prefixlen']}" for i in links[0]["addr_info"]]


def _raise_settings() -> None:
    saved = json.loads(SAVED.read_text()) if SAVED.exists() else {}
    for setting in SETTINGS:
        current = int(setting.path.read_text())
        if current < setting.least:
            saved.setdefault(str(setting.path), current)
            # Recorded before it is changed: an interrupted run can still be undone.
            SAVED.parent.mkdir(parents=True, exist_ok=True)
            SAVED.write_text(json.dumps(saved))
            setting.path.write_text(str(setting.least))


def _restore_settings() -> None:
    """Put the old values back, unless another lab here still needs the new ones."""
    if not SAVED.exists():
        return
    links = json.loads(run(("ip", "-json", "link", "show", "type", "bridge")))
    if any(link.get("ifalias", "").startswith(MARK_PREFIX) for link in links):
        return
    for path, value in json.loads(SAVED.read_text()).items():
        Path(path).write_text(str(value))
    SAVED.unlink()
