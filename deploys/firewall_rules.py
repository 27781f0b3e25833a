"""The nftables rules of one node, from the inventory's flows. Pure; read by people as a file.

Rules kept: both directions drop by default; every accepted flow says its purpose; nothing but our
own table is touched, and it is replaced in one transaction; no rule refers to a name that must be
looked up elsewhere. IPv6 is closed but for loopback and neighbour discovery.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from inventory.flows import Flow, inbound, outbound
from inventory.model import Federation, Node, Role

PATH = "/etc/nftables.conf"
TABLE = "inet federation"
End = IPv4Address | IPv4Network

HEAD = """\
#!/usr/sbin/nft -f
# The firewall of {node}: who may talk to whom, from the roles in the inventory.
# Managed by the federation operator; changes are overwritten. Look at what is loaded with
#   nft list table {table}

{definitions}
# Three statements, one transaction: at no moment is there no firewall.
table {table} {{}}
delete table {table}
table {table} {{
"""

INPUT = """\
    chain input {{
        type filter hook input priority filter; policy drop;
        iif lo accept comment "this machine itself"
        ct state established,related accept comment "answers"
        ct state invalid drop
        ip saddr $federation ip protocol icmp accept comment "reachability within the federation"
        ip6 hoplimit 255 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept \\
            comment "finding neighbours"
{flows}
        limit rate 10/minute burst 20 packets log prefix "federation drops in: " level info
    }}
"""

OUTPUT = """\
    chain output {{
        type filter hook output priority filter; policy drop;
        oif lo accept comment "this machine itself"
        ct state established,related accept comment "answers"
        ip daddr $federation ip protocol icmp accept comment "reachability within the federation"
        ip6 hoplimit 255 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept \\
            comment "finding neighbours"
{flows}
{names}{webhook}\
        meta skuid "_chrony" udp dport 123 accept comment "time"
        meta skuid "_apt" tcp dport {{ 80, 443 }} accept comment "packages, fetched by apt alone"

        limit rate 10/minute burst 20 packets log prefix "federation drops out: " level info
    }}
"""

FORWARD = """\
    chain forward {
        type filter hook forward priority filter; policy drop;
    }
"""

NAMES = """\
        ip daddr $dns_servers udp dport 53 accept comment "names"
        ip daddr $dns_servers tcp dport 53 accept comment "names"
"""


def rules(federation: Federation, node: Node) -> str:
    """The whole file for `node`, for `nft -f`."""
    network = federation.network
    definitions: dict[str, tuple[End, ...]] = {variable(n): (n.address,) for n in federation.nodes}
    definitions["operator"] = network.operator_addresses
    definitions["federation"] = (network.subnet, *network.operator_addresses)
    if network.dns_servers:
        definitions["dns_servers"] = network.dns_servers
    text = "".join(f"define {name} = {_literal(ends)}\n" for name, ends in definitions.items())
    known: dict[tuple[End, ...], str] = {(n.address,): variable(n) for n in federation.nodes}
    known[minimal(network.operator_addresses)] = "operator"
    arriving = (_arriving(flow, known) for flow in inbound(federation, node))
    leaving = (_leaving(flow, known) for flow in outbound(federation, node))
    return (
        HEAD.format(node=node.name, table=TABLE, definitions=text)
        + INPUT.format(flows=_indented(arriving))
        + "\n"
        + OUTPUT.format(
            flows=_indented(leaving),
            names=NAMES if network.dns_servers else "",
            webhook=_webhook(federation, node),
        )
        + "\n"
        + FORWARD
        + "}\n"
    )


def _webhook(federation: Federation, node: Node) -> str:
    """Where keys' notices go, from the nodes on which the key decay runs."""
    keys = federation.keys
    if keys.webhook_address is None or not node.has(Role.DATA):
        return ""
    return (
        f"        ip daddr {keys.webhook_address} tcp dport {keys.webhook_port} accept "
        'comment "notices of keys"\n'
    )


def variable(node: Node) -> str:
    """How the file calls a node; nft variables have no hyphens and must not be keywords."""
    return "node_" + re.sub(r"[^a-z0-9]", "_", node.name)


def minimal(ends: Sequence[End]) -> tuple[End, ...]:
    """The same addresses without overlaps, which nft refuses in one set; sorted."""
    networks = list(collapse_addresses(end for end in ends if isinstance(end, IPv4Network)))
    single = {end for end in ends if isinstance(end, IPv4Address)}
    outside = sorted(a for a in single if not any(a in network for network in networks))
    return (*outside, *networks)


def _arriving(flow: Flow, known: dict[tuple[End, ...], str]) -> str:
    sources = _match("ip saddr", minimal(flow.sources), known)
    return f'{sources}tcp dport {flow.port} accept comment "{flow.purpose}"'


def _leaving(flow: Flow, known: dict[tuple[End, ...], str]) -> str:
    targets = _match("ip daddr", minimal([target.address for target in flow.targets]), known)
    return f'{targets}tcp dport {flow.port} accept comment "{flow.purpose}"'


def _match(field: str, ends: tuple[End, ...], known: dict[tuple[End, ...], str]) -> str:
    if IPv4Network("0.0.0.0/0") in ends:
        return "meta nfproto ipv4 "
    if ends in known:
        return f"{field} ${known[ends]} "
    shown = [f"${known[(end,)]}" if (end,) in known else str(end) for end in ends]
    return f"{field} {shown[0] if len(shown) == 1 else '{ ' + ', '.join(shown) + ' }'} "


def _literal(ends: Sequence[End]) -> str:
    shown = [str(end) for end in minimal(ends)]
    return shown[0] if len(shown) == 1 else "{ " + ", ".join(shown) + " }"


def _indented(lines: Iterator[str]) -> str:
    return "".join(f"        {line}\n" for line in lines)
