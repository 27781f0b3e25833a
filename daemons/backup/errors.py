"""What a backup job may end with.

BackupError
├── CommandFailed    pgBackRest ended with an error, or did not end in time
│   └── Busy         another pgBackRest of the same databases is at work
├── Corrupt          pgBackRest met a page or a file whose checksum is wrong: it only warns of that
└── Unreadable       what pgBackRest said is not what it says
"""


class BackupError(Exception):
    """Base of what this package raises on purpose."""


class CommandFailed(BackupError):
    """pgBackRest failed; the message is its own."""


class Busy(CommandFailed):
    """Locked by WAL that is being stored or a backup to another repository, which will end."""


class Corrupt(BackupError):
    """A checksum is wrong: the backup must not count."""


class Unreadable(BackupError):
    """Output that cannot be understood."""
