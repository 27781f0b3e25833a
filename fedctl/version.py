"""Which fedctl this is."""

from importlib import metadata


def version() -> str:
    """The installed version, or `unknown` in a checkout nobody installed."""
    try:
        return metadata.version("federation-operator")
    except metadata.PackageNotFoundError:
        return "unknown"
