"""Two distant sources at once: which network each key is used from, noted when two take turns.

A network is a site that the operator named (`keys.sites`), or else of a public address its /16 (of
IPv6 its /48). Private addresses and a tailnet's that no site names say nothing of distance and are
not looked at, and IPv4 is compared with IPv4 only: one client may use both. Keys that replaced each
other are looked at as one. The decision is `trust.interleaving`'s.

Only the app calls `seen`, for a key whose secret was just verified and that may do what it asks. In
memory, for at most 20,000 keys: a gateway that starts knows nothing, in the key's favour.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.member import Member
from gateway.seams import Principal
from trust.interleaving import Interleaving, at_once, used_from
from trust.strength import Misuse

MOST_KEYS = 20_000
MOST_ADDRESSES = 4096
PREFIX_BITS = {4: 16, 6: 48}

Network = IPv4Network | IPv6Network
Sites = Mapping[str, Sequence[Network]]


class DistantSources:
    """Where each key was used from, of late."""

    def __init__(
        self,
        sites: Sites,
        note: Callable[[str, Misuse], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._note, self._clock = note, clock
        tracks: dict[int, OrderedDict[str, Interleaving]] = {4: OrderedDict(), 6: OrderedDict()}
        self._tracks = tracks

        @lru_cache(MOST_ADDRESSES)
        def placed(client: str | None) -> tuple[OrderedDict[str, Interleaving], str] | None:
            found = network_of(client, sites)
            return None if found is None else (tracks[found[0]], found[1])

        self._placed = placed

    def __len__(self) -> int:
        return sum(map(len, self._tracks.values()))

    def seen(self, principal: Principal, client: str | None) -> None:
        """This key, just verified, works from this address. Never waits, never fails."""
        placed = self._placed(client)
        if placed is None:
            return
        tracks, network = placed
        key = principal.key_id
        if isinstance(principal, Member):
            key = principal.family or key
        before = tracks.get(key)
        if before is not None and before.newest == network:
            return
        tracks[key] = after = used_from(before, network, self._clock())
        tracks.move_to_end(key)
        if len(tracks) > MOST_KEYS:
            tracks.popitem(last=False)
        if at_once(after):
            self._note(principal.key_id, Misuse.DISTANT_SOURCES)


def network_of(client: str | None, sites: Sites) -> tuple[int, str] | None:
    """The IP version and the network a client's address counts to; None: it is not looked at."""
    try:
        address: IPv4Address | IPv6Address = ip_address(client or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for name, networks in sites.items():
        if any(address in network for network in networks):
            return address.version, name
    if not address.is_global:
        return None
    prefix = ip_network((address, PREFIX_BITS[address.version]), strict=False)
    return address.version, str(prefix)
