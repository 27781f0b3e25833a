"""The federation's certificate authority and the names it certifies: shared by deploys and fedctl.

Knows which authority belongs to a federation and what a node may call itself. Signing and the
private key are `trust.authority`'s.
"""

from datetime import datetime
from ipaddress import IPv4Address

from inventory.home import Home
from inventory.model import Federation, Node
from trust.authority import Authority

OPERATOR = "operator"
LOOPBACK = IPv4Address("127.0.0.1")


def authority_of(federation: Federation, home: Home, now: datetime) -> Authority:
    """The authority in the operator's home, made when it is not there yet.

    Raises AuthorityBroken or AuthorityExists when the folder holds something else.
    """
    return Authority.create(home.authority, f"{federation.name} authority", now)


def names_of(federation: Federation, node: Node) -> tuple[str, ...]:
    """Names in the node's certificate; the first is its common name."""
    return (node.name, federation.fqdn(node), "localhost")


def addresses_of(node: Node) -> tuple[IPv4Address, ...]:
    """Addresses in the node's certificate."""
    return (node.address, LOOPBACK)
