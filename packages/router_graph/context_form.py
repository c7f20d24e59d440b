"""The context of a turn as a form: what a server tells its clients of each setting, with the choices that there are."""

from __future__ import annotations

from typing import Any

from router_graph.context import RouterContext
from router_graph.resources import Resources

_TITLES = {
    "max_steps": "Most steps",
    "usd": "Budget in USD",
    "tokens": "Most tokens",
    "seconds": "Most seconds",
    "k": "Documents of a search",
    "only": "Only these options",
    "exclude": "Not these options",
    "route": "Ask this one alone",
    "ask_above_usd": "Ask a person above USD",
    "shadow": "Shadow policy",
    "explore": "Explore",
}


def context_form(resources: Resources) -> type[RouterContext]:
    """`RouterContext`, which validates as ever, and whose JSON schema is a form for these resources.

    Each field has a title, a description, its limits, and the default that holds where it is left out. `policy`,
    `protocol` and the options are enums of what there is; a policy with a detail, such as cascade:FILE, may be given
    though it is not among them. The schema is made when it is asked for: it names what there is then.
    """

    class Form(RouterContext):
        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            schema = RouterContext.model_json_schema(*args, **kwargs)
            return _form(schema, resources)

    Form.__name__ = Form.__qualname__ = RouterContext.__name__
    return Form


def _form(schema: dict[str, Any], resources: Resources) -> dict[str, Any]:
    keys = [option["key"] for option in resources.menu()]
    policies = resources.policy_names()
    choices = {
        "policy": policies,
        "shadow": policies,
        "protocol": resources.protocol_names(),
        "route": keys,
        "only": keys,
        "exclude": keys,
    }
    fields = schema["properties"]
    for name, field in fields.items():
        # Forms draw one type, and not "a number or null": what is left out is null.
        for kind in field.pop("anyOf", []):
            if kind != {"type": "null"}:
                field.update(kind)
        field["title"] = _TITLES.get(name, field["title"])
        field["description"] = " ".join(field["description"].split())
        field.pop("default", None)
        if (default := resources.defaults[name]) is not None:
            field["default"] = default
        if name in choices:
            _choose(field, choices[name])
    schema["description"] = "What holds in this turn. What is left out is as the server was set."
    return schema


def _choose(field: dict[str, Any], among: list[str]) -> None:
    default = field.get("default")
    if isinstance(default, str) and default not in among:
        among = [default, *among]
    one = field["items"] if field["type"] == "array" else field
    one.pop("pattern", None)
    one["enum"] = among
    if field["type"] == "array":
        field["uniqueItems"] = True
