"""`python -m ledger status|up|down [--to N] --dsn DSN`: migrate the ledger's database.
`python -m ledger verify --vkey FILE [--checkpoint FILE] --dsn DSN`: verify the log in it.

Run on the data node by the owner of the schema over the local socket. One JSON object goes to
stdout whatever happens, an error's sentence to stderr as well; a failure exits 1.

`verify` is for a database that was just restored: it reads the whole log and, given the checkpoint
it must at least reach (a signed note), says whether it has those very events.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger import migrate, schema
from ledger.checkpoint import opened
from ledger.connect import connect_dsn
from ledger.errors import LedgerError, MigrationError
from ledger.findings import Anchor
from ledger.note import VerifierKey
from ledger.verify import verify


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("ledger", description="Migrate the ledger, or verify it.")
    parser.add_argument("command", choices=("status", "up", "down", "verify"))
    parser.add_argument("--dsn", required=True, help="libpq connection string of the owner")
    parser.add_argument("--to", type=int, default=None, help="version to stop at (down: 0 is all)")
    parser.add_argument("--migrations", type=Path, default=schema.FOLDER, help=argparse.SUPPRESS)
    parser.add_argument("--vkey", type=Path, help="verify: the log's public key")
    parser.add_argument("--checkpoint", type=Path, help="verify: a checkpoint it must reach")
    options = parser.parse_args(argv)
    if options.command == "verify" and options.vkey is None:
        parser.error("verify needs --vkey")
    return options


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


async def _verify(options: argparse.Namespace) -> dict[str, Any]:
    keys = [VerifierKey.parse(line) for line in _text(options.vkey).split()]
    anchors = []
    if options.checkpoint is not None:
        head = opened(_text(options.checkpoint), keys, keys[0].name)
        anchors.append(Anchor("the checkpoint", head.size, head.root, signed=True))
    async with await connect_dsn(options.dsn) as connection:
        report = await verify(connection, keys, anchors=anchors)
    first = report.first
    problem = first and {"kind": first.fault.value, "message": str(first)}
    return {**report.value(), "error": problem}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"cannot read {path}: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see the module's description."""
    options = _arguments(argv)
    work = {"status": _status, "verify": _verify}.get(options.command, _move)(options)
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
