"""`python -m daemons.exporter --config /etc/federation/exporter.toml`."""

import argparse
import asyncio
import logging
import ssl
import sys
from pathlib import Path

from daemons.exporter.main import run
from daemons.exporter.settings import ExporterSettings
from inventory.config import ConfigError

DEFAULT_CONFIG = Path("/etc/federation/exporter.toml")


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon; what is wrong with its configuration goes to the journal in one line."""
    parser = argparse.ArgumentParser(prog="daemons.exporter", description=__doc__)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    options = parser.parse_args(arguments)
    try:
        settings = ExporterSettings.read(options.config)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
        asyncio.run(run(settings))
    except (ConfigError, OSError, ssl.SSLError) as error:
        sys.stderr.write(f"federation-exporter: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
