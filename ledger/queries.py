"""Load the named blocks of the package's `.sql` files: the only way SQL gets into our Python.

A block is `-- name: x`, one comment line saying what it is for, then one statement with psycopg's
`%(named)s` parameters. A malformed file fails at import, not in front of a user.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


def parse(text: str) -> Mapping[str, LiteralString]:
    """The statements in `text` by name; ValueError for a name used twice or a bare statement."""
    parts = _NAME.split(text)
    found: dict[str, LiteralString] = {}
    for name, block in zip(parts[1::2], parts[2::2], strict=True):
        description, _, statement = block.strip("\n").partition("\n")
        if not description.startswith("-- ") or not statement.strip():
            raise ValueError(f"query {name} needs one line of description and a statement")
        if name in found:
            raise ValueError(f"query {name} is defined twice")
        # The file ships with the code: its text is as trusted as a literal.
        found[name] = cast(LiteralString, statement.strip())
    return MappingProxyType(found)


def load(folder: Path = Path(__file__).parent) -> Mapping[str, LiteralString]:
    """All statements of the package's `.sql` files; ValueError for a name in two of them."""
    names = (
        "queries",
        "quotas",
        "strength",
        "custody",
        "possession",
        "notices",
        "roles",
        "prompts",
    )
    return parse("\n".join((folder / f"{name}.sql").read_text(encoding="utf-8") for name in names))


QUERIES = load()
