"""Sites: networks that are one place, by the place's name. Pure."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations

Network = IPv4Network | IPv6Network


def overlapping(sites: Mapping[str, Sequence[Network]]) -> str | None:
    """What two sites have in common, in words; None when no address is in two."""
    named = [(name, network) for name, networks in sites.items() for network in networks]
    for (one, first), (other, second) in combinations(named, 2):
        if one != other and first.version == second.version and first.overlaps(second):
            return f"{first} of {one} and {second} of {other} overlap: an address is in one place"
    return None
