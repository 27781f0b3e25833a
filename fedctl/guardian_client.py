"""Ask the guardian for its half of a data key: it stands in for its share.

Over mutual TLS, and signed (RFC 9421): each request counts once, there, and as it was made.
"""

import http.client
import json
import ssl
from dataclasses import dataclass, field

from fedctl.errors import GuardianAway
from trust.callers import Signer
from trust.datakeys import KeyName
from trust.errors import HalfRefused
from trust.hidden import Hidden
from trust.shares import Half, Holder

SECONDS = 15.0
MAX_BYTES = 16 * 1024
PATH = "/release"


@dataclass(frozen=True)
class RemoteGuardian:
    """A guardian somewhere: `purpose` goes into the record of each of its releases.

    A half it gave is kept as long as this object: one release for each data key.
    """

    address: str
    port: int
    tls: ssl.SSLContext = field(repr=False)
    purpose: str
    signer: Signer | None = None
    _halves: dict[KeyName, Half] = field(default_factory=dict, repr=False, compare=False)

    @property
    def holder(self) -> Holder:
        """Whose halves it gives."""
        return Holder.GUARDIAN

    def half(self, name: KeyName) -> Half:
        """Its half for this data key.

        Raises HalfRefused with the guardian's reason, GuardianAway when it cannot be asked.
        """
        if name not in self._halves:
            self._halves[name] = self._ask(name)
        return self._halves[name]

    def _ask(self, name: KeyName) -> Half:
        asked = json.dumps({"key": name.id, "epoch": name.epoch, "purpose": self.purpose}).encode()
        headers = {"Content-Type": "application/json"}
        if self.signer is not None:
            url = f"https://{self.address}:{self.port}{PATH}"
            headers |= self.signer.headers("POST", url, asked)
        connection = http.client.HTTPSConnection(
            self.address, self.port, timeout=SECONDS, context=self.tls
        )
        try:
            connection.request("POST", PATH, asked, headers)
            response = connection.getresponse()
            return _half(name, response.status, json.loads(response.read(MAX_BYTES)))
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise GuardianAway(
                f"the guardian at {self.address}:{self.port} cannot be asked: "
                f"{error or type(error).__name__}",
                "give its card instead, with --share, or see: fedctl status --on operator",
            ) from error
        finally:
            connection.close()


def _half(name: KeyName, status: int, answer: dict[str, object]) -> Half:
    if status != http.HTTPStatus.OK:
        raise HalfRefused(f"the guardian refuses ({status}): {answer['error']}")
    if (answer["key"], answer["epoch"], answer["holder"]) != (name.id, name.epoch, "guardian"):
        raise ValueError("it answered for something else")
    return Half(Holder.GUARDIAN, name, Hidden(bytes.fromhex(str(answer["half"]))))
