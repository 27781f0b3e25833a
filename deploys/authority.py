"""The federation's certificate authority and the names it certifies: shared by deploys and fedctl.

Knows which authority belongs to a federation, that its key is in the operator's store, and what a
node may call itself. Signing is `trust.authority`'s.
"""

from datetime import datetime
from ipaddress import IPv4Address

from deploys.own_secrets import store_of
from inventory.home import Home
from inventory.model import Federation, Node
from trust.authority import KEY, Authority
from trust.secret_store import StoredKey
from trust.succession import Succession

OPERATOR = "operator"
AUTHORITY_KEY = "authority-key"
LOOPBACK = IPv4Address("127.0.0.1")


def authority_of(federation: Federation, home: Home, now: datetime) -> Authority:
    """The authority in the operator's home, made when it is not there yet.

    Raises AuthorityBroken or AuthorityExists when the folder holds something else, StoreError when
    the store does not open.
    """
    name = f"{federation.name} authority"
    return Authority.create(home.authority, name, now, keeper=_keeper(home))


def open_authority(home: Home) -> Authority:
    """The authority that is there; raises AuthorityMissing, AuthorityBroken, StoreError."""
    return Authority.open(home.authority, _keeper(home))


def succession(home: Home) -> Succession:
    """The succession of the operator's authority: `trust.succession`."""
    return Succession(home.authority, _keeper(home))


def _keeper(home: Home) -> StoredKey:
    return StoredKey(store_of(home), AUTHORITY_KEY, plain=home.authority / KEY)


def names_of(federation: Federation, node: Node) -> tuple[str, ...]:
    """Names in the node's certificate; the first is its common name."""
    return (node.name, federation.fqdn(node), "localhost")


def addresses_of(node: Node) -> tuple[IPv4Address, ...]:
    """Addresses in the node's certificate."""
    return (node.address, LOOPBACK)
