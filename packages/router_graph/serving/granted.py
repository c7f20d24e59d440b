"""What a request may say of the router's settings: what the operator has set is the most, never less than a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_graph.context import RouterContext
from router_graph.errors import SettingsError

_MOST = ("usd", "tokens", "seconds", "max_steps", "ask_above_usd")


def granted(context: RouterContext, operator: RouterContext) -> RouterContext:
    """The context that the graph is given. `operator` has the fields that the settings set, and no others.

    A request may ask for a smaller budget, fewer options and another seed. Raises `SettingsError` where it asks for
    more than the operator allows.
    """
    stated = operator.model_dump(exclude_unset=True, exclude_none=True)
    given: dict[str, Any] = context.model_dump(exclude_unset=True, exclude_none=True)
    for field in _MOST:
        if field in stated and given.get(field, 0) > stated[field]:
            raise SettingsError(f"{field} is {given[field]:g}, and this server allows {stated[field]:g} at the most.")
    _check_options(given, stated)
    if "exclude" in given:  # an empty list too: what it says would stand in the place of the operator's
        given["exclude"] = [*stated.get("exclude", []), *given["exclude"]]
    return RouterContext(**given)


def _check_options(given: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    only, route = stated.get("only"), stated.get("route")
    for key in given.get("only") or ():
        if only is not None and key not in only:
            raise SettingsError(f"only names {key!r}, which this server does not offer; it offers {', '.join(only)}.")
    if route is not None and given.get("route", route) != route:
        raise SettingsError(f"route is {given['route']!r}, and this server asks nobody but {route}.")
