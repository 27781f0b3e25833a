"""`python -m daemons.restore_test test|clean`: restore the newest backup and see, once."""

import argparse
import logging
import os
import sys
from pathlib import Path

from daemons.restore_test.main import run
from daemons.restore_test.settings import RestoreTestSettings
from daemons.restore_test.shell import Bench, as_json
from inventory.config import ConfigError

DEFAULT_CONFIG = Path("/etc/federation/restore-test.toml")


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 when the backup counts and the ledger knows, else 1."""
    parser = argparse.ArgumentParser(prog="daemons.restore_test", description=__doc__)
    parser.add_argument("command", choices=("test", "clean"))
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    options = parser.parse_args(arguments)
    try:
        settings = RestoreTestSettings.read(options.config)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
        bench = Bench(settings, dict(os.environ))
        if options.command == "clean":
            bench.clean()
            return 0
        measured, told = run(bench)
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"federation-restore-test: {error}\n")
        return 1
    sys.stdout.write(as_json(measured) + "\n")
    return 0 if measured.passed and told else 1


if __name__ == "__main__":
    sys.exit(main())
