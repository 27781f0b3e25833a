"""Who may log in to the database, as text for `pg_hba.conf` and `pg_ident.conf`. Pure.

Used by the deploy and by the tests' server, so that what is tested is what runs. There are no
passwords: people and daemons on the machine are known by their operating system user (peer), others
by a client certificate whose common name `pg_ident.conf` maps to a role. Nobody else gets in.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

OPERATOR = "operator"
# What a data node's certificate may be: one role a purpose, and the database each needs.
# "replication" is no database but the protocol.
MEMBER_ROLES = (
    ("fed_replication", "replication"),
    ("fed_rewind", "postgres"),
    ("fed_sequencer", "federation"),
    ("fed_keys", "federation"),
)
DATABASE = "federation"


def hba(
    gateways: Sequence[IPv4Address],
    operators: Sequence[IPv4Address],
    local: Mapping[str, str],
    members: Sequence[IPv4Address] = (),
    keepers: Sequence[IPv4Address] = (),
    guardians: Sequence[IPv4Address] = (),
) -> str:
    """`pg_hba.conf`: first match wins, and the last lines refuse everybody.

    `local` maps operating system users to the role each may take over the local socket; `postgres`
    is always itself there, and may replicate. `members` are the data nodes: each may sequence
    events and settle keys.
    `keepers` have a repository, and tell the log of backups and restore tests. `guardians` tell it
    of every half of a data key they give out.
    """
    lines = ["# Managed by the federation operator (ledger/access.py); changes are overwritten."]
    lines.append(_line("local", "all", "postgres", "", "peer map=machine"))
    if members:
        lines.append(_line("local", "replication", "fed_replication", "", "peer map=machine"))
    lines += [
        _line("local", DATABASE, role, "", "peer map=machine")
        for role in sorted(set(local.values()))
    ]
    for role, addresses in (
        ("fed_gateway", gateways),
        ("fed_operator", operators),
        ("fed_backup", keepers),
        ("fed_guardian", guardians),
    ):
        lines += [
            _line("hostssl", DATABASE, role, f"{address}/32", "cert map=federation")
            for address in addresses
        ]
    lines += [
        _line("hostssl", database, role, f"{address}/32", "cert map=federation")
        for role, database in MEMBER_ROLES
        for address in members
    ]
    lines.append(_line("local", "all", "all", "", "reject"))
    lines.append(_line("local", "replication", "all", "", "reject"))
    lines.append(_line("host", "all", "all", "all", "reject"))
    lines.append(_line("host", "replication", "all", "all", "reject"))
    return "\n".join(lines) + "\n"


def ident(
    gateways: Sequence[str],
    local: Mapping[str, str],
    members: Sequence[str] = (),
    keepers: Sequence[str] = (),
    guardians: Sequence[str] = (),
    operators: Sequence[str] = (),
) -> str:
    """`pg_ident.conf`: all but `local` and `operators` are node names, as certificates say them.

    `operators` are people beside the first one, each with a certificate of their own.
    """
    lines = ["# Managed by the federation operator (ledger/access.py); changes are overwritten."]
    lines.append("# map, operating system user or certificate's common name, database role")
    lines.append("machine postgres postgres")
    lines += [f"machine {user} {role}" for user, role in sorted(local.items())]
    lines += ["machine postgres fed_replication"] if members else []
    lines += [f"federation {name} fed_gateway" for name in gateways]
    lines += [f"federation {name} {role}" for role, _ in MEMBER_ROLES for name in members]
    lines += [f"federation {name} fed_backup" for name in keepers]
    lines += [f"federation {name} fed_guardian" for name in guardians]
    lines += [f"federation {name} fed_operator" for name in map(common_name, ("", *operators))]
    return "\n".join(lines) + "\n"


def common_name(operator: str) -> str:
    """What the certificate of an operator says; the first one has no name of their own ('')."""
    return f"{OPERATOR}.{operator}" if operator and operator != OPERATOR else OPERATOR


def _line(kind: str, database: str, role: str, address: str, method: str) -> str:
    return f"{kind:<8} {database:<12} {role:<13} {address:<18} {method}".rstrip()
