"""The federation's certificate authority and the names it certifies: shared by deploys and fedctl.

Knows which authority belongs to a federation, that its key is in the operator's store, and what a
node may call itself. Signing is `trust.authority`'s.
"""

from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path

from deploys.own_secrets import store_of
from inventory.home import Home
from inventory.model import Federation, Node
from ledger.access import common_name
from trust.authority import KEY, Authority
from trust.errors import AuthorityError, StoreError
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


def operator_pair(home: Home, now: datetime) -> tuple[Path, Path]:
    """Key and certificate that the ledger knows this machine's operator by.

    The first operator's are issued and renewed here. Another's (`home.operator`) as well, where the
    authority's key is; elsewhere they are the files that were handed out (`fedctl roles
    certificate`). Raises AuthorityMissing, AuthorityBroken, StoreError, NamesRefused.
    """
    name = common_name(home.operator)
    given = home.authority / f"{name}.key", home.authority / f"{name}.pem"
    try:
        return open_authority(home).ensure_client(name, now)
    except (AuthorityError, StoreError):
        if home.operator and all(path.exists() for path in given):
            return given
        raise


def _keeper(home: Home) -> StoredKey:
    return StoredKey(store_of(home), AUTHORITY_KEY, plain=home.authority / KEY)


def names_of(federation: Federation, node: Node) -> tuple[str, ...]:
    """Names in the node's certificate; the first is its common name."""
    return (node.name, federation.fqdn(node), "localhost")


def addresses_of(node: Node) -> tuple[IPv4Address, ...]:
    """Addresses in the node's certificate."""
    return (node.address, LOOPBACK)
