"""What services made with Prometheus's exporter-toolkit have in common: packages, TLS, masks.

Debian's units for them are masked before their packages come: ours start the same programs with
their own user, sandbox and client certificates required.
"""

from collections.abc import Sequence

from deploys.layout import (
    AUTHORITY,
    CERTIFICATE,
    CONFIG,
    SEALED_KEY,
    TLS_FILES,
    UNITS,
    credential,
    unit_path,
)
from deploys.operations.files import ManagedFile, ManagedLink
from deploys.templates import render

WEB = f"{CONFIG}/web"


def web_path(unit: str) -> str:
    """The web configuration of `unit`."""
    return f"{WEB}/{unit.removesuffix('.service')}.yml"


def web_config(unit: str) -> ManagedFile:
    """TLS 1.3 with the node's certificate; only holders of a certificate of ours get an answer."""
    content = render(
        "web-config.yml",
        certificate=CERTIFICATE,
        authority=AUTHORITY,
        key=credential(unit, "tls.key"),
    )
    return ManagedFile(web_path(unit), content)


def masks(packaged_units: Sequence[str]) -> list[ManagedLink]:
    """Links that keep Debian's own units from ever starting, valid before they are installed."""
    return [ManagedLink(unit_path(unit), "/dev/null") for unit in packaged_units]


def unit_file(unit: str, files: Sequence[str] = (), **values: object) -> ManagedFile:
    """Our unit `unit`, which records as loaded: its own file, the TLS files, and `files`."""
    loaded = " ".join((unit_path(unit), *TLS_FILES, *files))
    return ManagedFile(unit_path(unit), render(unit, loaded=loaded, **values))


__all__ = ["SEALED_KEY", "UNITS", "WEB", "masks", "unit_file", "web_config", "web_path"]
