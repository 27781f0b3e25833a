"""Who may log in to the database, as text for `pg_hba.conf` and `pg_ident.conf`. Pure.

Used by the deploy and by the tests' server, so that what is tested is what runs. There are no
passwords: people and daemons on the machine are known by their operating system user (peer), others
by a client certificate whose common name `pg_ident.conf` maps to a role. Nobody else gets in.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

OPERATOR = "operator"
DATABASE = "federation"


def hba(
    gateways: Sequence[IPv4Address],
    operators: Sequence[IPv4Address],
    local: Mapping[str, str],
    members: Sequence[IPv4Address] = (),
) -> str:
    """`pg_hba.conf`: first match wins, and the last lines refuse everybody.

    `local` maps operating system users to the role each may take over the local socket; `postgres`
    is always itself there. `members` are the data nodes: each may sequence.
    """
    lines = ["# Managed by the federation operator (ledger/access.py); changes are overwritten."]
    lines.append(_line("local", "all", "postgres", "", "peer map=machine"))
    lines += [
        _line("local", DATABASE, role, "", "peer map=machine")
        for role in sorted(set(local.values()))
    ]
    for role, addresses in (
        ("fed_gateway", gateways),
        ("fed_operator", operators),
        ("fed_sequencer", members),
    ):
        lines += [
            _line("hostssl", DATABASE, role, f"{address}/32", "cert map=federation")
            for address in addresses
        ]
    lines.append(_line("local", "all", "all", "", "reject"))
    lines.append(_line("host", "all", "all", "all", "reject"))
    return "\n".join(lines) + "\n"


def ident(gateways: Sequence[str], local: Mapping[str, str], members: Sequence[str] = ()) -> str:
    """`pg_ident.conf`: `gateways` and `members` are node names, as certificates say them."""
    lines = ["# Managed by the federation operator (ledger/access.py); changes are overwritten."]
    lines.append("# map, operating system user or certificate's common name, database role")
    lines.append("machine postgres postgres")
    lines += [f"machine {user} {role}" for user, role in sorted(local.items())]
    lines += [f"federation {name} fed_gateway" for name in gateways]
    lines += [f"federation {name} fed_sequencer" for name in members]
    lines.append(f"federation {OPERATOR} fed_operator")
    return "\n".join(lines) + "\n"


def _line(kind: str, database: str, role: str, address: str, method: str) -> str:
    return f"{kind:<8} {database:<12} {role:<13} {address:<18} {method}".rstrip()
