"""A Python script of `deploys/remote/` as a pyinfra command.

As text it is `python3 -I -c SOURCE`, so any connector can run it; our own connector recognises the
type and hands name and argument to the agent that already runs on the node, which saves a process.

The argument travels on stdin (operations: it may hold secrets, which must not be seen in `ps`) or
as a word of the command (facts: pyinfra gives those no stdin; they hold names only).
"""

import json
from collections.abc import Sequence
from typing import Any

from pyinfra.api import QuoteString, StringCommand

from deploys.remote_source import source

_TAIL = """
import json as _json, sys as _sys
_text = _sys.argv[1] if len(_sys.argv) > 1 else _sys.stdin.read()
print(_json.dumps(main(_json.loads(_text))))
"""


class NodeScript(StringCommand):
    """Run `deploys/remote/NAME.py` with `argument` (a JSON value) on the node.

    `describe` is what logs and golden tests show instead of the command: one line an effect, never
    a secret. `result` of a fact is one line of JSON on stdout.
    """

    def __init__(
        self,
        name: str,
        argument: Any,
        describe: Sequence[str] = (),
        *,
        on_stdin: bool = True,
        timeout_seconds: int | None = None,
    ) -> None:
        self.name = name
        self.argument = argument
        self.describe = tuple(describe) or (name,)
        self.timeout_seconds = timeout_seconds
        text = json.dumps(argument)
        bits: list[object] = ["python3", "-I", "-c", QuoteString(source(name) + _TAIL)]
        if on_stdin:
            super().__init__(*bits, _stdin=text)
        else:
            super().__init__(*bits, QuoteString(text))

    def get_masked_value(self) -> str:
        """What may be shown: the effects, not the program or its argument."""
        return "; ".join(self.describe)


def decode(output: list[str]) -> Any:
    """The JSON a fact's script printed; pyinfra hands it over as lines."""
    return json.loads("".join(output))
