"""The restore of the federation's database on a data node, and what it needs to ask before.

Runs as `postgres`, started by `fedctl backup` through systemd-run. One JSON value goes to stdout.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from daemons.recovery.cluster import Cluster
from daemons.recovery.decide import Target
from daemons.recovery.errors import NoBackup, NoSpace, OtherHistory, RecoveryError
from daemons.recovery.look import look, read_keys
from ledger import recovery
from ledger.connect import connect_dsn
from ledger.errors import Unavailable
from ledger.note import VerifierKey

Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What to restore: one of `labels`, the first that will do, replayed to `target` or `seq`.

    `needed_bytes` is what it may take on disk; `seconds` how long each step may.
    """

    labels: tuple[str, ...]
    target: Target
    needed_bytes: int
    vkey: Path
    seq: int | None = None
    seconds: float = 86400.0


def restore(cluster: Cluster, order: Order, say: Say) -> dict[str, Any]:
    """Restore, replay, promote, verify; the cluster is stopped in order and ready for Patroni.

    Raises RecoveryError; what was restored until then stays for a look.
    """
    enough_room(cluster.data.parent, order.needed_bytes)
    keys = read_keys(order.vkey)
    begun = time.monotonic()
    for label in order.labels[:-1]:
        try:
            return _restore(cluster, order, label, keys, begun, say)
        except OtherHistory:
            say(f"{label} is of a history that an earlier restore left")
            shutil.rmtree(cluster.data)
    return _restore(cluster, order, order.labels[-1], keys, begun, say)


def _restore(
    cluster: Cluster,
    order: Order,
    label: str,
    keys: Sequence[VerifierKey],
    begun: float,
    say: Say,
) -> dict[str, Any]:
    target = order.target
    if order.seq is not None and target.kind == "latest":
        target = _find(cluster, order, label, say)
    say(f"restoring the backup {label}")
    cluster.restore(label, target, order.seconds)
    restored = time.monotonic()
    say(f"replaying WAL to {target.value or 'its end'}")
    with cluster.running(order.seconds):
        replayed = time.monotonic()
        say("verifying the ledger")
        seen = asyncio.run(look(cluster.dsn, keys))
        verified = time.monotonic()
    cluster.settle()
    return {
        "label": label,
        "target": {**asdict(target), "moment": None},
        "seconds": {
            "restore": round(restored - begun, 3),
            "replay": round(replayed - restored, 3),
            "verify": round(verified - replayed, 3),
        },
        "ledger": seen.value(),
    }


def _find(cluster: Cluster, order: Order, label: str, say: Say) -> Target:
    """Where event `seq` is, when no database is left to ask: restore everything once and look."""
    assert order.seq is not None  # noqa: S101 - asked by the caller
    say(f"looking for event {order.seq}: restoring everything once")
    scratch = replace(cluster, archiving=False)
    scratch.restore(label, order.target, order.seconds)
    with scratch.running(order.seconds):
        location = asyncio.run(_located(scratch.dsn, order.seq))
    shutil.rmtree(cluster.data)
    if location is None:
        raise NoBackup(f"the restored log has no signed event {order.seq}")
    return Target("xid", location.xid, location.time, order.target.timeline)


async def _located(dsn: str, seq: int) -> recovery.Location | None:
    connection = await connect_dsn(dsn)
    async with connection:
        return await recovery.locate(connection, seq)


async def located(dsn: str, seq: int) -> dict[str, Any]:
    """The transaction of event `seq` in the live database; raises RecoveryError or LedgerError."""
    location = await _located(dsn, seq)
    if location is None:
        raise RecoveryError(f"the log has no signed event {seq}")
    return {
        "seq": seq,
        "size": location.size,
        "xid": location.xid,
        "time": location.time.isoformat(),
    }


async def leads(dsn: str) -> dict[str, Any]:
    """Whether the database on this node takes writes; a silent one does not."""
    try:
        connection = await connect_dsn(dsn)
    except Unavailable:
        return {"leads": False}
    async with connection:
        return {"leads": await recovery.takes_writes(connection)}


async def point(dsn: str, name: str) -> dict[str, Any]:
    """Make a named restore point in the live database and have it archived."""
    connection = await connect_dsn(dsn)
    async with connection:
        made = await recovery.make_point(connection, name)
        segment, archived = await recovery.end_segment(connection, 60.0)
    return {
        "name": made.name,
        "lsn": made.lsn,
        "time": made.time.isoformat(),
        "segment": segment,
        "archived": archived,
    }


async def flush(dsn: str, seconds: float) -> dict[str, Any]:
    """End the WAL segment before the database is stopped, so that nothing of it is only there."""
    connection = await connect_dsn(dsn)
    async with connection:
        segment, archived = await recovery.end_segment(connection, seconds)
    return {"segment": segment, "archived": archived}


def enough_room(folder: Path, needed: int) -> None:
    """Raises NoSpace unless `needed` bytes are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpace(
            f"{folder} has {free // 2**20} MiB free, and up to {needed // 2**20} MiB are needed"
        )
