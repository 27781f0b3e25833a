"""Where things are on a node: the paths several roles share (DESIGN section 4)."""

CONFIG = "/etc/federation"
CERTIFICATE = f"{CONFIG}/tls/node.pem"
AUTHORITY = f"{CONFIG}/tls/ca.pem"
SEALED_KEY = f"{CONFIG}/credentials/tls.key"
STATE = "/var/lib/federation"
UNITS = "/etc/systemd/system"
LIBRARY = "/usr/local/lib/federation"
PYTHON = "/opt/federation/current/bin/python"

# What every TLS service loads at its start, and must be restarted for when it changes.
TLS_FILES = (CERTIFICATE, AUTHORITY, SEALED_KEY)


def credential(unit: str, name: str) -> str:
    """Where the running `unit` finds its credential `name` (systemd.exec(5), CREDENTIALS)."""
    return f"/run/credentials/{unit}/{name}"


def unit_path(unit: str) -> str:
    """Where our unit file goes."""
    return f"{UNITS}/{unit}"
