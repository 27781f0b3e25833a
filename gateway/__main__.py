"""`python -m gateway --config /etc/federation/gateway.toml`.

What its unit must allow: reading its config, `/etc/federation/tls/{node,ca}.pem`, and credentials
`tls.key` and `key-pepper`; TCP out to the ledger and the engines, in on two ports; `AF_UNIX` for
NOTIFY_SOCKET. It writes to the folder of its spool and starts one process, the shipper; it needs no
JIT (MemoryDenyWriteExecute holds), no device and no system call beyond @system-service.
Type=notify, WatchdogSec, FileDescriptorStoreMax of twice its addresses; TimeoutStopSec of at
least `drain_seconds` + 15.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import uvloop

from gateway.assembly import Material
from gateway.server import serve
from gateway.settings import GatewaySettings
from gateway.spool.errors import SpoolTaken
from inventory.config import ConfigError, resolve
from inventory.logs import configure
from inventory.notify import Notifier
from trust.errors import TrustError
from trust.memory import no_core_dumps
from trust.peppers import Peppers

DEFAULT_CONFIG = Path("/etc/federation/gateway.toml")
# The spool's thread must not wait 5 ms (the default) for a busy event loop: two would be a commit.
SWITCH_SECONDS = 0.001
CONFIG_STATUS = 78  # EX_CONFIG
TAKEN_STATUS = 75  # EX_TEMPFAIL: it may be free soon


def main() -> int:
    """Read the settings and serve; 0 after a drained stop, 78 for a configuration that is wrong,
    75 for a spool that another process has.
    """
    parser = argparse.ArgumentParser(
        prog="gateway", description="The federation's HTTP front door."
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    config: Path = parser.parse_args().config
    no_core_dumps()
    try:
        settings = GatewaySettings.read(config)
        material = _material(settings)
    except (ConfigError, TrustError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)  # noqa: T201
        return CONFIG_STATUS
    configure(
        settings.log_level,
        journal="JOURNAL_STREAM" in os.environ,
        quiet=("asyncio", "psycopg.pool"),
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    reread = partial(GatewaySettings.read, config)
    try:
        uvloop.run(serve(settings, material, Notifier(os.environ), reread))
    except SpoolTaken as error:
        print(f"gateway: {error}", file=sys.stderr)  # noqa: T201
        return TAKEN_STATUS
    return 0


def _material(settings: GatewaySettings) -> Material:
    peppers = resolve(settings.keys.pepper_path, os.environ).read_text()
    return Material(
        certificate=resolve(settings.tls.certificate_path, os.environ),
        key=resolve(settings.tls.key_path, os.environ),
        authority=resolve(settings.tls.ca_path, os.environ),
        peppers=Peppers.parse(peppers),
    )


if __name__ == "__main__":
    sys.exit(main())
