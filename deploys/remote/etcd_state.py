"""Whether this machine has an etcd member's data. Argument: {"data": FOLDER}."""

import os
from typing import Any


def main(argument: Any) -> Any:
    return {"member": os.path.isdir(os.path.join(argument["data"], "member"))}
