"""Give a node a secret as a systemd credential only that machine can decrypt."""

import hashlib
from collections.abc import Generator

from pydantic import SecretStr
from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.secrets import SecretState
from deploys.protocol import Change
from deploys.script import NodeScript


@operation()
def secret(path: str, credential: str, content: SecretStr) -> Generator[NodeScript, None, None]:
    """Have `content` at `path`, encrypted to the machine under the name `credential`.

    The secret travels on stdin and appears in no log, no diff and no process list.
    """
    text = content.get_secret_value()
    digest = hashlib.sha256(text.encode()).hexdigest()
    state = host.get_fact(SecretState, path=path, credential=credential, sha256=digest)
    if state == "same":
        host.noop(f"{credential} is there")
        return
    change = Change("create" if state == "absent" else "replace", path)
    announce([change])
    argument = {"path": path, "name": credential, "content": text}
    yield NodeScript("secret_seal", argument, [str(change)])
