"""What a value in an inventory file may be: the types of its fields, and how its objects behave.

TOML has types, so a number in quotes or `true` for 1 is a mistake, not something to convert.
"""

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


def _only_text(value: object) -> object:
    """Refuse what TOML did not write as text: pydantic would take the number 1 for 0.0.0.1."""
    if isinstance(value, str | IPv4Address | IPv4Network):
        return value
    raise ValueError("expected text in quotes")


Count = Annotated[int, Field(strict=True, le=2**31 - 1)]
Fraction = Annotated[float, Field(strict=True)]
Address = Annotated[IPv4Address, BeforeValidator(_only_text)]
Subnet = Annotated[IPv4Network, BeforeValidator(_only_text)]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")]
DomainName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        max_length=200,
    ),
]
WebhookUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$",
        max_length=400,
    ),
]
UnixUser = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
# Text that ends up in unit files, command lines and headers: no controls, no separators.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:+-]{0,119}$")]
Phrase = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,120}$")]
PathOrNothing = Annotated[
    str, StringConstraints(pattern=r"^(/[A-Za-z0-9._+@-]+)*$", max_length=400)
]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Frozen(BaseModel):
    """Base of the inventory's objects: immutable, and a field nobody declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
