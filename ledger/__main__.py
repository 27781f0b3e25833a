"""`python -m ledger status|up|down [--to N] --dsn DSN`: migrate the ledger's database.

Run on the data node by the owner of the schema over the local socket. One JSON object goes to
stdout whatever happens, an error's sentence to stderr as well; a failure exits 1.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger import migrate, schema
from ledger.errors import LedgerError, MigrationError


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("ledger", description="Migrate the ledger's database.")
    parser.add_argument("command", choices=("status", "up", "down"))
    parser.add_argument("--dsn", required=True, help="libpq connection string of the owner")
    parser.add_argument("--to", type=int, default=None, help="version to stop at (down: 0 is all)")
    parser.add_argument("--migrations", type=Path, default=schema.FOLDER, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


async def _status(options: argparse.Namespace) -> dict[str, Any]:
    migrations, applied = await migrate.status(options.dsn, options.migrations)
    problem = None
    try:
        schema.verify(migrations, applied)
    except MigrationError as error:
        problem = {"kind": type(error).__name__, "message": str(error)}
    return {
        "version": len(applied),
        "latest": len(migrations),
        "applied": [
            {"version": row.version, "name": row.name, "applied_at": row.applied_at.isoformat()}
            for row in applied
        ],
        "pending": [f"{m.version:04}_{m.name}" for m in migrations[len(applied) :]],
        "error": problem,
    }


async def _move(options: argparse.Namespace) -> dict[str, Any]:
    steps = await migrate.migrate(options.dsn, options.command, options.to, options.migrations)
    return {"done": [step.half.path.name for step in steps], "error": None}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see the module's description."""
    options = _arguments(argv)
    work = _status(options) if options.command == "status" else _move(options)
    try:
        answer = asyncio.run(work)
    except LedgerError as error:
        answer = {"error": {"kind": type(error).__name__, "message": str(error)}}
    sys.stdout.write(json.dumps(answer) + "\n")
    if answer["error"] is not None:
        sys.stderr.write(f"ledger: {answer['error']['message']}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
