"""Which of a machine's package sources are Debian's."""

from pathlib import Path

import pytest

from lab import sources
from lab.sources import Source

DEB822 = """\
Types: deb
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 /usr/share/keyrings/debian-archive-keyring.gpg
"""


def test_reads_the_stanzas_of_a_fresh_debian() -> None:
    assert sources.parse_deb822(DEB822) == (
        Source(
            "http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main", "contrib")
        ),
        Source("http://mirror.example/debian-security", ("bookworm-security",), ("main",)),
    )


@pytest.mark.parametrize(
    "stanza",
    [
        "Types: deb-src\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n",
        "Types: deb\nEnabled: no\nURIs: http://m.example/d\nSuites: bookworm\nComponents: main\n",
        "Types: deb\nURIs: http://node.example\nSuites: nodistro\nComponents: main\n",
        "Types: deb\nURIs: http://d.example\nSuites: bookworm\nComponents: stable\n",
        "Types: deb\nURIs: file:/srv/debian\nSuites: bookworm\nComponents: main\n",
        "Types: deb\nURIs: http://x.example\nSuites: bookworm\nComponents: main\n"
        "Signed-By: /etc/apt/keyrings/vendor.gpg\n",
        "nonsense without a colon\n",
        "",
    ],
    ids=["source", "disabled", "suite", "component", "local", "vendor-key", "nonsense", "empty"],
)
def test_leaves_out_what_is_not_debians(stanza: str) -> None:
    assert sources.parse_deb822(stanza) == ()


def test_reads_one_line_sources() -> None:
    text = (
        "# a comment\n"
        "deb http://m.example/debian bookworm main non-free-firmware # trailing\n"
        "deb-src http://m.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "https://m.example/debian-security bookworm-security main\n"
        "deb [signed-by=/etc/apt/keyrings/docker.asc] https://d.example bookworm main\n"
        "deb https://cloud.example/apt cloud-sdk-bookworm main\n"
    )
    assert sources.parse_one_line(text) == (
        Source("http://m.example/debian", ("bookworm",), ("main", "non-free-firmware")),
        Source("https://m.example/debian-security", ("bookworm-security",), ("main",)),
    )


def test_collects_a_machines_sources_once_each(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    line = "deb http://mirror.example/debian-security bookworm-security main\n"
    (tmp_path / "sources.list").write_text(line)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "old.list.disabled").write_text(line)
    found = sources.of_this_machine(tmp_path)
    assert len(found) == 2
    assert sources.offers_release(found)


def test_says_when_the_release_is_missing() -> None:
    assert not sources.offers_release(())
    assert not sources.offers_release(
        (Source("http://m.example", ("bookworm-updates",), ("main",)),)
    )


def test_what_it_writes_it_reads_back() -> None:
    found = sources.parse_deb822(DEB822)
    assert sources.parse_deb822(sources.as_text(found)) == found
