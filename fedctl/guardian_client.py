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
from trust.warrants import Warrant

SECONDS = 15.0
MAX_BYTES = 16 * 1024
PATH, REWRAP_PATH = "/release", "/rewrap"


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

    def rewrap(self, warrant: Warrant) -> None:
        """Have it seal content anew in the background; raises as `half` does."""
        status, answer = self._post(REWRAP_PATH, warrant.to_bytes())
        if status != http.HTTPStatus.ACCEPTED:
            raise HalfRefused(f"the guardian refuses ({status}): {answer.get('error')}")

    def _ask(self, name: KeyName) -> Half:
        asked = json.dumps({"key": name.id, "epoch": name.epoch, "purpose": self.purpose})
        status, answer = self._post(PATH, asked.encode())
        try:
            return _half(name, status, answer)
        except (ValueError, KeyError, TypeError) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> GuardianAway:
        return GuardianAway(
            f"the guardian at {self.address}:{self.port} cannot be asked: "
            f"{error or type(error).__name__}",
            "give its card instead, with --share, or see: fedctl status --on operator",
        )

    def _post(self, path: str, body: bytes) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPSConnection(
            self.address, self.port, timeout=SECONDS, context=self.tls
        )
        try:
            headers = {"Content-Type": "application/json"}
            if self.signer is not None:
                url = f"https://{self.address}:{self.port}{path}"
                headers |= self.signer.headers("POST", url, body)
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read(MAX_BYTES))
            if not isinstance(answer, dict):
                raise ValueError("it answered no object")
            return response.status, answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._away(error) from error
        finally:
            connection.close()


def _half(name: KeyName, status: int, answer: dict[str, object]) -> Half:
    if status != http.HTTPStatus.OK:
        raise HalfRefused(f"the guardian refuses ({status}): {answer['error']}")
    if (answer["key"], answer["epoch"], answer["holder"]) != (name.id, name.epoch, "guardian"):
        raise ValueError("it answered for something else")
    return Half(Holder.GUARDIAN, name, Hidden(bytes.fromhex(str(answer["half"]))))
