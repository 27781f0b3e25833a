"""OpenAI's official Node client, as its users run it, against the stub engine."""

import asyncio

import pytest

from ledger.limits import Limits
from ledger.requests import Outcome
from tests.integration.gateway.conftest import Rows
from tests.integration.gateway.test_limits import limited
from tests.support.gateway import Gateway
from tests.support.node import played, raised_as_documented
from tests.support.upstream import MODEL, Engine


# Where it is not installed yet, npm asks the machine's registry for it.
@pytest.mark.timeout(420)
async def test_the_official_node_client(gateway: Gateway, engine: Engine, rows: Rows) -> None:
    found = await played(
        f"{gateway.url}/v1",
        gateway.database.root / "ca.pem",
        MODEL,
        await gateway.key(),
        await gateway.key(models=["other"]),
        await limited(gateway, Limits(requests_per_minute=1)),
        "pause 0.05 1000",
    )
    assert found["models"] == [MODEL]
    assert found["chat"]["tokens"] == 3 and found["chat"]["request"]
    assert found["stream"]["pieces"] == 3
    assert found["embeddings"] == {"type": "none"}
    raised_as_documented(found)
    # What it sent for tools and for a schema came to the engine as it was.
    bodies = [call.body for call in engine.calls]
    assert any(body.get("tools", [{}])[0].get("type") == "function" for body in bodies)
    formats = [body["response_format"]["type"] for body in bodies if "response_format" in body]
    assert formats == ["json_schema"]
    # It left in the middle of a stream: the engine's work was cut, and that is on record.
    assert found["left"]
    async with asyncio.timeout(30):
        while not [call for call in engine.calls if call.state == "cut"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    outcomes = [row.outcome.outcome for row in await rows() if row.outcome]
    assert Outcome.CLIENT_GONE in outcomes and Outcome.ANSWERED in outcomes
