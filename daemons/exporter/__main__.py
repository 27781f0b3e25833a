"""`python -m daemons.exporter --config /etc/federation/exporter.toml`."""

import sys

from daemons.exporter.main import run
from daemons.exporter.settings import ExporterSettings
from daemons.program import Program
from inventory.config import ConfigError

main = Program("exporter", __doc__, ExporterSettings.read, run, failed=(ConfigError,)).main


if __name__ == "__main__":
    sys.exit(main())
