"""`python -m daemons.recovery COMMAND`, on a data node; each is a function of `main`."""

import argparse
import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from daemons.recovery import main as work
from daemons.recovery.cluster import Cluster
from daemons.recovery.consensus import forget
from daemons.recovery.decide import Target
from daemons.recovery.errors import RecoveryError
from ledger.errors import LedgerError

REPOSITORIES = (1, 2)


def main(arguments: list[str] | None = None) -> int:
    """Run one command: JSON on stdout, what happens and what is wrong on stderr."""
    options = _parser().parse_args(arguments)
    dsn = f"host={options.sockets} port={options.port} user=postgres dbname=federation"
    try:
        if options.command == "restore":
            answer = work.restore(_cluster(options), _order(options), _say)
        elif options.command == "locate":
            answer = asyncio.run(work.located(dsn, options.seq))
        elif options.command == "point":
            answer = asyncio.run(work.point(dsn, options.name))
        elif options.command == "leads":
            answer = asyncio.run(work.leads(dsn))
        elif options.command == "forget":
            answer = forget(options.etcd, options.prefix, with_key(dict(os.environ)))
        else:
            answer = asyncio.run(work.flush(dsn, options.seconds))
    except (RecoveryError, LedgerError, OSError) as error:
        sys.stderr.write(f"recovery: {error}\n")
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"recovery: {text}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="daemons.recovery", description=__doc__)
    parser.add_argument(
        "command", choices=("restore", "locate", "point", "flush", "leads", "forget")
    )
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--sockets", default="/run/postgresql")
    parser.add_argument("--seq", type=int)
    parser.add_argument("--name")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repository", type=int, choices=REPOSITORIES, default=1)
    parser.add_argument("--label", dest="labels", action="append", default=[])
    parser.add_argument("--kind", choices=("latest", "time", "xid", "name"), default="latest")
    parser.add_argument("--value", default="")
    parser.add_argument("--moment", type=datetime.fromisoformat)
    parser.add_argument("--timeline", default="latest")
    parser.add_argument("--needed-bytes", type=int, default=0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--etcd", default="")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--vkey", type=Path, default=Path("/etc/federation/pgbackrest/ledger.vkey"))
    return parser


def _cluster(options: argparse.Namespace) -> Cluster:
    return Cluster(
        data=options.data,
        work=options.work,
        config=options.config,
        environment=with_key(dict(os.environ)),
        repository=options.repository,
        port=options.port,
        archiving=True,
    )


def with_key(environment: dict[str, str]) -> dict[str, str]:
    """The environment in which pgBackRest finds this unit's own copy of the node's key."""
    folder: Any = environment.get("CREDENTIALS_DIRECTORY")
    if folder:
        for number in REPOSITORIES:
            environment[f"PGBACKREST_REPO{number}_HOST_KEY_FILE"] = f"{folder}/tls.key"
    return environment


def _order(options: argparse.Namespace) -> work.Order:
    return work.Order(
        labels=tuple(options.labels),
        target=Target(options.kind, options.value, options.moment, options.timeline),
        needed_bytes=options.needed_bytes,
        vkey=options.vkey,
        seq=options.seq,
    )


if __name__ == "__main__":
    sys.exit(main())
