"""Where PostgreSQL is on a node, and what keeps Debian's package from running one of its own.

The package makes and starts a cluster; ours is the only one wherever it is installed, so it is told
to make none and its units are masked.
"""

VERSION = "15"
PACKAGE = f"postgresql-{VERSION}"
BINARIES = f"/usr/lib/postgresql/{VERSION}/bin"
CLUSTERS = f"/var/lib/postgresql/{VERSION}"
DATA = f"{CLUSTERS}/federation"
SOCKETS = "/run/postgresql"
COMMON = "/etc/postgresql-common"
NO_CLUSTER_FILE = f"{COMMON}/createcluster.conf"
NO_CLUSTER = """\
# Managed by the federation operator: our cluster is the only one here.
create_main_cluster = false
"""
DEBIAN_UNITS = ("postgresql.service", f"postgresql@{VERSION}-main.service")
