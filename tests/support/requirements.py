"""Install what the tests need from Debian, without starting any service: `make test` runs this.

PostgreSQL's server binaries, promtool and amtool come from packages that would start daemons on
installation; a policy-rc.d that answers "not allowed" (Debian policy 9.3.3.1) prevents it for the
length of the installation. A machine that has everything is left alone.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = {
    "postgresql-15": Path("/usr/lib/postgresql/15/bin/initdb"),
    "postgresql-15-pgaudit": Path("/usr/lib/postgresql/15/lib/pgaudit.so"),
    "pgbackrest": Path("/usr/bin/pgbackrest"),
    "prometheus": Path("/usr/bin/promtool"),
    "prometheus-alertmanager": Path("/usr/bin/amtool"),
    "prometheus-node-exporter": Path("/usr/bin/prometheus-node-exporter"),
    "prometheus-postgres-exporter": Path("/usr/bin/prometheus-postgres-exporter"),
    "age": Path("/usr/bin/age"),
    "nftables": Path("/usr/sbin/nft"),
    "nodejs": Path("/usr/bin/node"),
    "npm": Path("/usr/bin/npm"),
    "openssl": Path("/usr/bin/openssl"),
    "openssh-client": Path("/usr/bin/ssh"),
    "gcc": Path("/usr/bin/gcc"),
    "libc6-dev": Path("/usr/include/stdio.h"),
}
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = (
    "#!/bin/sh\n# Written by the federation tests while they install packages.\nexit 101\n"
)


def missing() -> list[str]:
    """Debian packages whose program is not on this machine."""
    return [package for package, program in NEEDED.items() if not program.exists()]


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Packages installed inside this block start nothing; an existing policy is kept."""
    if POLICY.exists() and POLICY.read_text() != POLICY_TEXT:
        yield
        return
    POLICY.write_text(POLICY_TEXT)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def install(packages: list[str]) -> None:
    """Install `packages`; raises CalledProcessError with apt's own words on stderr."""
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*apt, "update"], stdout=sys.stderr, env=quiet, check=False)
    subprocess.run(
        [*apt, "install", "-y", "--no-install-recommends", *packages],
        stdout=sys.stderr,
        env=quiet,
        check=True,
    )


def main() -> int:
    """Install what is missing; say what to do where that is not possible."""
    packages = missing()
    if not packages:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.stderr.write(f"The tests need Debian's {' '.join(packages)}; install them as root.\n")
        return 1
    sys.stderr.write(f"Installing {' '.join(packages)} for the tests ...\n")
    with no_service_starts():
        install(packages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
