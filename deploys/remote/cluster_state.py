"""Which version of PostgreSQL a data folder is of. Argument: {"data": FOLDER}."""

import os
from typing import Any


def main(argument: Any) -> Any:
    try:
        with open(os.path.join(argument["data"], "PG_VERSION"), encoding="ascii") as file:
            return {"version": file.read().strip()}
    except (FileNotFoundError, NotADirectoryError):
        return {"version": None}
