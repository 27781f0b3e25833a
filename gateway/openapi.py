"""The OpenAPI description of the relayed paths: what is allowed, with what, and how it is refused.
Pure.

Bodies are loose on purpose: the gateway reads a few fields and passes on the rest, which is the
engine's to know (OpenAI's and vLLM's own references say what there is).
"""

from typing import Any

from gateway.routes import INFERENCE, ROUTES, Route

Json = dict[str, Any]

KEY_SCHEME, ANTHROPIC_SCHEME = "key", "anthropicKey"
# Every status a path may answer with besides 200, and what it says.
REFUSALS = {
    400: "Not JSON, no model, wrong types, or refused by the engine.",
    401: "No key, or one that does not work.",
    403: "The key lacks the scope, may not use this model, or its signed proof does not hold.",
    404: "No engine serves the model, or the model's engine has no such path.",
    408: "The body came too slowly.",
    409: "Refused by the engine.",
    413: "The body is too large.",
    415: "Not JSON, or compressed.",
    422: "Refused by the engine.",
    429: "A limit, a budget, or every engine is busy.",
    431: "The head is too large.",
    500: "A fault of the gateway.",
    502: "The engine failed.",
    503: "The service cannot take the request now.",
    504: "The engine took too long.",
}
LISTING_REFUSALS = (400, 401, 403, 429, 431, 500, 503)
OWN_KEY_REFUSALS = (400, 401, 408, 409, 413, 415, 429, 431, 500, 503)
CONTROL_REFUSALS = (400, 431, 500)

_TEXTS: Json = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_MESSAGES: Json = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"type": "string", "enum": ["system", "user", "assistant"]},
            "content": {"type": "string"},
        },
    },
}
_PROMPTS = {"messages": _MESSAGES, "prompt": _TEXTS, "input": _TEXTS}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": ["string", "null"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}


def with_relayed(page: Json) -> Json:
    """FastAPI's page of the control endpoints, and every other path that is allowed."""
    for operations in page["paths"].values():
        operations["get"]["responses"] |= _refusals(CONTROL_REFUSALS)
    page["paths"] |= {
        "/openapi.json": {"get": _page()},
        "/v1/models": {"get": _listing()},
        "/v1/keys/self": {"get": _own_key("show_key", "What the key is, and why.")},
        "/v1/keys/self/rotate": {"post": _own_key("rotate_key", "A successor of the key.")},
        **{path: {"post": _relayed(route)} for path, route in ROUTES.items()},
    }
    components = page.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = _ERROR
    components["securitySchemes"] = {
        KEY_SCHEME: {"type": "http", "scheme": "bearer"},
        ANTHROPIC_SCHEME: {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    return page


def _relayed(route: Route) -> Json:
    content: Json = {"application/json": {"schema": {"type": "object"}}}
    if route.ends != "never":
        content["text/event-stream"] = {}
    schemes = [KEY_SCHEME, ANTHROPIC_SCHEME] if route.name == "messages" else [KEY_SCHEME]
    return {
        "operationId": route.name,
        "summary": f"Relayed to an engine that serves the model. Scope: {route.scope}.",
        "security": [{scheme: []} for scheme in schemes],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body(route)}},
        },
        "responses": {
            "200": {"description": "The engine's answer.", "content": content},
            **_refusals(tuple(REFUSALS)),
        },
    }


def _body(route: Route) -> Json:
    properties: Json = {
        "model": {"type": "string", "minLength": 1, "maxLength": 200},
        route.prompt: _PROMPTS[route.prompt],
    }
    if route.ends != "never":
        properties |= {
            "stream": {"type": "boolean"},
            "max_tokens": {"type": "integer", "minimum": 1},
            "n": {"type": "integer", "minimum": 1},
        }
    if route.asks_for_usage:
        properties["stream_options"] = {
            "type": "object",
            "properties": {"include_usage": {"type": "boolean"}},
        }
    required = ["model"] if route.scope != INFERENCE else ["model", route.prompt]
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": True,
    }


def _listing() -> Json:
    listed: Json = {
        "type": "object",
        "required": ["object", "data"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": {"type": "object", "required": ["id"]}},
        },
    }
    return {
        "operationId": "models",
        "summary": "The models engines list, as far as the key may use them.",
        "security": [{KEY_SCHEME: []}],
        "responses": {"200": _json("The models.", listed), **_refusals(LISTING_REFUSALS)},
    }


def _own_key(name: str, summary: str) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "security": [{KEY_SCHEME: []}],
        "responses": {
            "200": _json("The key, without its text; or its successor's.", {"type": "object"}),
            **_refusals(OWN_KEY_REFUSALS),
        },
    }


def _page() -> Json:
    return {
        "operationId": "openapi",
        "summary": "This page.",
        "responses": {
            "200": _json("The description of every path.", {"type": "object"}),
            **_refusals(CONTROL_REFUSALS),
        },
    }


def _refusals(statuses: tuple[int, ...]) -> Json:
    error = {"$ref": "#/components/schemas/Error"}
    return {str(status): _json(REFUSALS[status], error) for status in statuses}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
