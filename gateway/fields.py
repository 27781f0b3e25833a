"""What a value in the gateway's file may be: the types of its fields, and how its tables behave.

Bounds that several tables share are here; one that a single field has stands beside that field.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
HostName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Address = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network


class Section(BaseModel):
    """Base of the file's tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine: what goes there crosses no network."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
