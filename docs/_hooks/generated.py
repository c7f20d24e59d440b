"""Pages that are made of the code whenever the site is built: commands, settings, the public API."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

_MARK = re.compile(r"^<!-- (?P<kind>commands|settings|pool-file|variables|api)(?: (?P<of>\S+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **about: Any) -> str:
    """The page with what is generated."""
    return _MARK.sub(lambda found: "\n".join(_MAKE[found["kind"]](found["of"])), markdown)


def commands(_: str | None = None) -> Iterator[str]:
    """Every command of `polyroute`, from the tree that the terminal shows."""
    import typer.main

    from router_graph.cli import app

    yield from _command(typer.main.get_command(app), "polyroute")


def _command(command: Any, name: str) -> Iterator[str]:
    yield f"\n{'#' * min(2 + name.count(' '), 4)} {name} {{ #{name.replace(' ', '-')} }}\n"
    for paragraph in (command.help or "").split("\n\n"):
        text = " ".join(paragraph.split())
        yield f"\n```bash\n{text}\n```\n" if text.startswith("polyroute ") else f"\n{_plain(text)}\n"
    parts = getattr(command, "commands", None)
    shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
    context = command.context_class(command, info_name=name)
    if shown and not (parts and name == "polyroute"):
        yield "| option | value | |\n|---|---|---|"
        for one in shown:
            about = _plain(getattr(one, "help", "") or "")
            yield f"| {_code(*_names(one))} | {_kind(one, context)} | {about} |"
    for part, inner in (parts or {}).items():
        if not inner.hidden:
            yield from _command(inner, f"{name} {part}")


def _names(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return [(parameter.metavar or parameter.name.upper()).strip("[]")]
    return [*parameter.opts, *parameter.secondary_opts]


def _kind(parameter: Any, context: Any) -> str:
    kind = (
        ""
        if getattr(parameter, "is_flag", False) or parameter.param_type_name == "argument"
        else _plain(parameter.metavar or parameter.display_type(context))
    )
    default = parameter.default
    shown = default not in (None, (), [], "", False, True) and not callable(default) and "Sentinel" not in repr(default)
    words = [kind, "required" if parameter.required else "", f"default {_code(str(default))}" if shown else ""]
    return ", ".join(word for word in words if word)


def variables(_: str | None = None) -> Iterator[str]:
    """The environment variables that stand above router.yaml."""
    from router_graph.settings import VARIABLES

    yield "| variable | sets |\n|---|---|"
    for name, place in VARIABLES.items():
        yield f"| {_code(name)} | {_code('.'.join(str(part) for part in place))} |"


def settings(_: str | None = None) -> Iterator[str]:
    """Every key of router.yaml, of the schema that `polyroute init --schema` writes."""
    from router_graph.settings import router_schema

    schema = router_schema()
    yield from _table("At the top", schema, schema)
    for title, part in (("knowledge", "KnowledgePart"), ("turn", "TurnPart"), ("exclusions, each", "Exclusion")):
        yield from _table(title, schema["$defs"][part], schema)


def pool_file(_: str | None = None) -> Iterator[str]:
    """Every key of a pool file."""
    from router_graph.pool.card import ModelCard
    from router_graph.pool.pool_file import PoolFile

    schema = _described(PoolFile)
    yield from _table("At the top", schema, schema)
    card = _described(ModelCard)
    yield from _table("models, each: a card", card, card)
    for title, part in (("price, ceiling", "Price"), ("measured", "Measured")):
        yield from _table(title, card["$defs"][part], card)
    yield from _table("mote, each", schema["$defs"]["LocalModel"], schema)


def _described(model: Any) -> dict[str, Any]:
    """Its JSON schema, with what stands below each field as its description."""
    import ast
    import textwrap

    schema: dict[str, Any] = model.model_json_schema()
    for part, owner in ((schema, model), *((schema["$defs"][n], k) for n, k in _kinds(model) if n in schema["$defs"])):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body  # type: ignore[attr-defined]
        for field, words in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(words, ast.Expr)
                and isinstance(words.value, ast.Constant)
            ):
                named = part["properties"].get(getattr(field.target, "id", ""))
                if named is not None:
                    named.setdefault("description", inspect.cleandoc(str(words.value.value)))
    return schema


def _kinds(model: Any) -> Iterator[tuple[str, Any]]:
    import sys

    for name, kind in vars(sys.modules[model.__module__]).items():
        if isinstance(kind, type) and kind is not model and hasattr(kind, "model_json_schema"):
            yield name, kind


def _table(title: str, part: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {title}\n"
    needed = part.get("required", [])
    yield "| key | holds | default | |\n|---|---|---|---|"
    for name, about in part["properties"].items():
        default = "required" if name in needed else _default(about)
        yield f"| {_code(name)} | {_plain(_type(about, schema))} | {default} | {_plain(about.get('description', ''))} |"


def _default(about: dict[str, Any]) -> str:
    value = about.get("default")
    return "" if value in (None, "", [], {}) else _code(json.dumps(value).strip('"'))


def _type(about: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in about:
        return str(about["$ref"].rpartition("/")[2])
    if "enum" in about:
        return " or ".join(str(one) for one in about["enum"])
    if "anyOf" in about:
        kinds = [_type(one, schema) for one in about["anyOf"] if "pattern" not in one or "enum" in one]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind and kind != "null"))
    if about.get("type") == "array":
        return f"list of {_type(about['items'], schema) or 'values'}"
    bounds = [
        f"{word} {about[key]:g}"
        for key, word in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in about
    ]
    names = {"string": "text", "object": "keys and values", "boolean": "true or false"}
    return " ".join([names.get(about.get("type", ""), about.get("type", "")), *bounds])


def api(package: str | None) -> Iterator[str]:
    """The public names of a package, or a module with all that is public in it."""
    assert package is not None
    module = importlib.import_module(package)
    homes = getattr(module, "_HOME", None) or getattr(module, "_HOMES", None)
    if homes is None:
        yield f"::: {package}\n"
        return
    for name in module.__all__:
        home = homes[name].removeprefix(f"{package}.")
        made = getattr(module, name)
        is_known = inspect.isclass(made) or inspect.isfunction(made)  # else an alias of types, where it stands
        where = made.__module__ if is_known else f"{package}.{home}"
        yield f"::: {where}.{name}\n"


def _code(*texts: str) -> str:
    return ", ".join(f"`{text}`" for text in texts).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text of the code as text of a page: nothing in it is markup but code in backticks."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        part.replace("|", "\\|")
        if n % 2
        else re.sub(r"([\\*_\[\]<>$|])", r"\\\1", part).replace("\\<", "&lt;").replace("\\>", "&gt;")
        for n, part in enumerate(parts)
    )


_MAKE = {
    "commands": commands,
    "settings": settings,
    "pool-file": pool_file,
    "variables": variables,
    "api": api,
}
