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
from trust import in_memory
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
    certificate`). The paths are in memory, and this process's: `trust.in_memory`. Raises
    AuthorityMissing, AuthorityBroken, StoreError, NamesRefused.
    """
    name = common_name(home.operator)
    try:
        return client_pair(home, name, now)
    except (AuthorityError, StoreError):
        given = _handed_out(home, name) if home.operator else None
        if given is None:
            raise
        return _lent(home, name, *given)


def client_pair(home: Home, name: str, now: datetime, *, renew: bool = False) -> tuple[Path, Path]:
    """Key and certificate of the client called `name`, in memory; issued or renewed when due.

    Both as they were at one moment: a renewal by another process does not part them. Raises as
    `operator_pair`.
    """
    keeper = _client_keeper(home, name)
    key, certificate = open_authority(home).ensure_client(name, now, keeper, renew=renew)
    return _lent(home, name, key, certificate)


def _handed_out(home: Home, name: str) -> tuple[bytes, bytes] | None:
    keeper = _client_keeper(home, name)
    # A file that is there is newer than what the store has: pairs are handed out every month.
    keeper.store.take_in(name, keeper.plain)
    try:
        return keeper.read(), (home.authority / f"{name}.pem").read_bytes()
    except FileNotFoundError:
        return None


def _lent(home: Home, name: str, key: bytes, certificate: bytes) -> tuple[Path, Path]:
    lent = (in_memory.lend(name, content, home.key_folder) for content in (key, certificate))
    return next(lent), next(lent)


def _keeper(home: Home) -> StoredKey:
    return StoredKey(store_of(home), AUTHORITY_KEY, plain=home.authority / KEY)


def _client_keeper(home: Home, name: str) -> StoredKey:
    return StoredKey(store_of(home), name, plain=home.authority / f"{name}.key")


def names_of(federation: Federation, node: Node) -> tuple[str, ...]:
    """Names in the node's certificate; the first is its common name."""
    return (node.name, federation.fqdn(node), "localhost")


def addresses_of(node: Node) -> tuple[IPv4Address, ...]:
    """Addresses in the node's certificate."""
    return (node.address, LOOPBACK)
