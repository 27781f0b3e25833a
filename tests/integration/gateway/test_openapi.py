"""schemathesis plays our own OpenAPI page against a gateway: nothing it can make up is a 5xx, and
every answer is one that the page allows.

The page leaves open which models there are and what they do. Here the model is one of two names, so
that most bodies reach the engine.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import CONTROL_PATHS
from gateway.routes import ROUTES
from tests.integration.gateway.conftest import Starter
from tests.support.gateway import Gateway, until
from tests.support.upstream import MODEL, Engine

ST = Path(sys.executable).parent / "st"
EXAMPLES = 40
SECONDS = 400  # a quarter of a minute on a quiet machine
# Left out: whether a body is to an engine's taste is not on the page.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "ignored_auth",
)


async def page_of(gateway: Gateway, http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.get(f"{gateway.url}/openapi.json", ssl=gateway.client_tls) as answer:
        assert answer.status == 200
        page: dict[str, Any] = await answer.json()
        return page


async def test_the_page_tells_of_every_path_that_is_allowed(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    page = await page_of(gateway, http)
    own = {"/v1/keys/self", "/v1/keys/self/rotate"}
    assert set(page["paths"]) == {*CONTROL_PATHS, *ROUTES, *own, "/v1/models"}
    for path, operations in page["paths"].items():
        posted = path in ROUTES or path.endswith("/rotate")
        assert set(operations) == {"post" if posted else "get"}


@pytest.mark.timeout(SECONDS + 60)
async def test_nothing_made_from_the_page_is_answered_5xx_or_otherwise_than_it_says(
    start: Starter, engine: Engine, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    gateway = await start()
    key = await gateway.key(scopes=["inference", "tokenize"])
    page = await page_of(gateway, http)
    for path in ROUTES:
        body = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        body["schema"]["properties"]["model"] = {"enum": [MODEL, "nobody's"]}
    (tmp_path / "page.json").write_text(json.dumps(page))
    played = await asyncio.create_subprocess_exec(
        str(ST), "run", "page.json", "--url", gateway.url,
        "--tls-verify", str(gateway.database.root / "ca.pem"),
        "--header", f"Authorization: Bearer {key}",
        "--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS),
        "--max-examples", str(EXAMPLES), "--seed", "7", "--request-timeout", "60",
        "--continue-on-failure", "--no-color", "--warnings", "off",
        "--report", "ndjson", "--report-ndjson-path", "report.ndjson",
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "localhost"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        said, _ = await played.communicate()
    assert played.returncode == 0, said.decode()[-6000:]
    assert not gateway.said("fault")
    # It was no walk past the gate: the engine was asked, and every path was.
    assert len(engine.calls) > 100
    wanted = {route.name for route in ROUTES.values()} | {"models"}

    async def all_asked() -> bool:
        lines = gateway.said("request")
        return {line["route"] for line in lines if line["status"] == 200} >= wanted

    await until(all_asked)
