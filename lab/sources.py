"""Which Debian mirrors this computer uses. Parsing is pure; only `of_this_machine` reads files.

Nodes get the same mirrors, in one form (deb822) and signed by Debian's keyring. Sources of other
vendors (and other suites) are left out: a node is a bare Debian server.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
RELEASE = "bookworm"
SUITES = (RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security")
COMPONENTS = ("main", "contrib", "non-free", "non-free-firmware")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)$")


@dataclass(frozen=True)
class Source:
    """One mirror: where, which suites, which components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]

    def deb822(self) -> str:
        """The stanza apt reads."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {' '.join(self.suites)}\n"
            f"Components: {' '.join(self.components)}\nSigned-By: {KEYRING}\n"
        )


def parse_deb822(text: str) -> tuple[Source, ...]:
    """Debian's sources in the text of a `.sources` file."""
    found: list[Source] = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            found += _debian(uri, fields.get("suites", ""), fields.get("components", ""), fields)
    return tuple(found)


def parse_one_line(text: str) -> tuple[Source, ...]:
    """Debian's sources in the text of a `.list` file."""
    found: list[Source] = []
    for line in text.splitlines():
        match = ONE_LINE.match(line.split("#", 1)[0].strip())
        if match is None:
            continue
        options = dict(
            pair.split("=", 1) for pair in (match["options"] or "").split() if "=" in pair
        )
        suite, *components = match["rest"].split()
        found += _debian(match["uri"], suite, " ".join(components), options)
    return tuple(found)


def _debian(uri: str, suites: str, components: str, options: dict[str, str]) -> Iterator[Source]:
    """The source, reduced to what is Debian's of it; nothing when that is nothing."""
    signed_by = options.get("signed-by", "")
    if signed_by and "debian-archive" not in signed_by:
        return
    if not uri.startswith(("http://", "https://")):
        return
    wanted_suites = tuple(suite for suite in suites.split() if suite in SUITES)
    wanted = tuple(component for component in components.split() if component in COMPONENTS)
    if wanted_suites and "main" in wanted:
        yield Source(uri, wanted_suites, wanted)


def of_this_machine(apt: Path = APT) -> tuple[Source, ...]:
    """Debian's sources of this computer, each once, in file order; empty when there are none."""
    found: list[Source] = []
    if (apt / "sources.list").is_file():
        found += parse_one_line((apt / "sources.list").read_text(errors="replace"))
    for path in sorted((apt / "sources.list.d").glob("*")):
        if path.suffix == ".list":
            found += parse_one_line(path.read_text(errors="replace"))
        elif path.suffix == ".sources":
            found += parse_deb822(path.read_text(errors="replace"))
    return tuple(dict.fromkeys(found))


def as_text(sources: tuple[Source, ...]) -> str:
    """The `.sources` file of `sources`."""
    return "\n".join(source.deb822() for source in sources)


def offers_release(sources: tuple[Source, ...]) -> bool:
    """Whether the release itself (not only its updates) can be fetched from `sources`."""
    return any(RELEASE in source.suites for source in sources)
