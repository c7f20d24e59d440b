"""What the endpoint takes and gives, as OpenAPI 3.1: the schemas are those that a request is checked with."""

from __future__ import annotations

from typing import Any

from router_graph.serving.offered import ROUTER, Offered
from router_graph.serving.request import IGNORED, Body

_ERRORS = {
    "400": "What of the request cannot be done, in one sentence.",
    "401": "The token is missing, or another one.",
    "403": "The server is not asked under that host name, or not by that web page.",
    "404": "There is no such model or policy.",
    "408": "The request was not sent in time.",
    "409": "Another request asks in the same thread.",
    "413": "The request is too large.",
    "415": "The request is no application/json.",
    "429": "Too many questions at once; Retry-After says when to ask again.",
    "500": "The server failed.",
    "504": "There was no answer in time.",
}
_OBJECT = {"type": "object"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": "null"},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
}
_COUNT = {"type": "integer", "minimum": 0}
_USAGE = {
    "type": "object",
    "required": ["prompt_tokens", "completion_tokens", "total_tokens", "cost"],
    "properties": {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "cost": {"type": "number", "minimum": 0, "description": "USD, of all calls."},
    },
}
_COMPLETION = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage", "polyroute"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["index", "message", "finish_reason"],
                "properties": {
                    "index": {"const": 0},
                    "message": {
                        "type": "object",
                        "required": ["role", "content"],
                        "properties": {"role": {"const": "assistant"}, "content": {"type": "string"}},
                    },
                    "finish_reason": {"enum": ["stop", "length"]},
                },
            },
        },
        "usage": _USAGE,
        "polyroute": {
            "type": "object",
            "required": ["run", "policy", "stop_reason", "problem", "citations", "cost_usd", "ledger", "steps"],
            "properties": {
                "run": {"type": "string", "description": "The run's id in the log, where runs are recorded."},
                "policy": {"type": "string"},
                "stop_reason": {"type": "string"},
                "problem": {"type": "string"},
                "citations": {"type": "array", "items": _OBJECT},
                "cost_usd": {"type": "number", "minimum": 0},
                "seconds": {"type": "number", "minimum": 0},
                "ledger": {"type": "array", "items": _OBJECT},
                "steps": {"type": "array", "items": _OBJECT},
            },
        },
    },
}
_EVENT = {
    "type": "object",
    "description": "Where `stream` is true: a chunk, an error, or [DONE].",
    "required": ["data"],
    "properties": {"data": {"type": "string"}},
}


def description(offered: Offered, *, max_body: int, needs_token: bool) -> dict[str, Any]:
    """The document of /openapi.json, with the names that there are."""
    body = Body.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = {**body.pop("$defs"), "Request": _as_sent(body, offered), "Error": _ERROR}
    _name(schemas["Extra"]["properties"], offered)
    completion = {
        "application/json": {"schema": _COMPLETION},
        "text/event-stream": {"schema": _EVENT},
    }
    asks = {
        "operationId": "createChatCompletion",
        "summary": f"Ask the router a question. A request has at most {max_body:,} bytes.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("Request")}}},
        "responses": {"200": {"description": "The answer.", "content": completion}, **_errors(*_ERRORS)},
    }
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    secured: dict[str, Any] = {"security": [{"token": []}]} if needs_token else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "polyroute serve", "version": "1", "description": __doc__},
        "paths": {
            "/v1/chat/completions": {"post": asks},
            "/v1/models": {"get": _read("listModels", "What can be named as the model.", _MODELS)},
            "/v1/models/{name}": {"get": _read("retrieveModel", "One of them.", _MODEL, "404"), "parameters": [name]},
            "/health": {"get": {**_read("health", "Whether it runs.", _OBJECT), "security": []}},
        },
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        **secured,
    }


def _as_sent(body: dict[str, Any], offered: Offered) -> dict[str, Any]:
    """The schema of the body, with what is taken and left out, and what may be written in two ways."""
    fields = body["properties"]
    fields["model"]["enum"] = offered.models
    fields["stop"] = {"anyOf": [fields["stop"], fields["stop"]["items"]]}
    may_be_null = {name: {"anyOf": [field, {"type": "null"}]} for name, field in fields.items() if name != "messages"}
    question = {"model": ROUTER, "messages": [{"role": "user", "content": "Which moon has an ocean?"}]}
    left_out = {name: {"description": "Left out."} for name in sorted(IGNORED)}
    return {**body, "properties": {**fields, **may_be_null, **left_out}, "examples": [question]}


def _name(fields: dict[str, Any], offered: Offered) -> None:
    """Write the names of policies and options into the schema of `polyroute`."""
    for field, names in (("policy", offered.policies), ("shadow", offered.policies), ("route", offered.options)):
        fields[field]["anyOf"][0] = {"type": "string", "enum": names}
    for listed in (fields["only"]["anyOf"][0], fields["exclude"]):
        listed["items"] = {"type": "string", "enum": offered.options}


def _read(operation: str, summary: str, schema: dict[str, Any], *errors: str) -> dict[str, Any]:
    good = {"200": {"description": "There it is.", "content": {"application/json": {"schema": schema}}}}
    return {"operationId": operation, "summary": summary, "responses": {**good, **_errors("401", "403", *errors)}}


def _errors(*statuses: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref("Error")}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
