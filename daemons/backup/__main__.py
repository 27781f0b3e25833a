"""`python -m daemons.backup COMMAND`: backup, check, verify or info, once."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from daemons.backup import main as jobs
from daemons.backup.errors import BackupError
from daemons.backup.live import Teller, reached
from daemons.backup.settings import BackupSettings
from daemons.backup.shell import Repository
from inventory.config import ConfigError

DEFAULT_CONFIG = Path("/etc/federation/backup.toml")


def main(arguments: list[str] | None = None) -> int:
    """Run one job; what is wrong goes to the journal in one line."""
    parser = argparse.ArgumentParser(prog="daemons.backup", description=__doc__)
    parser.add_argument("command", choices=("backup", "check", "verify", "info"))
    parser.add_argument("--kind", choices=("auto", "full", "diff"), default="auto")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    options = parser.parse_args(arguments)
    try:
        settings = BackupSettings.read(options.config)
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
        environment = dict(os.environ)
        repository = Repository(settings, environment)
        teller = Teller(reached(settings, environment, "backup"), settings.state_path)
        if options.command == "backup":
            made = jobs.backup(settings, repository, options.kind, teller)
            sys.stdout.write(json.dumps({"label": made.label, "kind": made.kind}) + "\n")
        elif options.command == "check":
            jobs.check(settings, repository, teller)
        elif options.command == "verify":
            sys.stdout.write(jobs.verify(settings, repository))
        else:
            sys.stdout.write(jobs.listed(settings, repository) + "\n")
    except (BackupError, ConfigError, OSError) as error:
        sys.stderr.write(f"federation-backup: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
