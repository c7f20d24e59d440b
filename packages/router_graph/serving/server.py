"""`serve`: the endpoint on a socket of its own, until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from mote_backend.errors import InputError
from mote_backend.serving.listening import address_of, hosts_of, listening, run
from router_graph.errors import SettingsError
from router_graph.serving.app import app

if TYPE_CHECKING:
    from router_graph.settings_live import Router


def serve(
    router: Router,
    *,
    host: str = "127.0.0.1",
    port: int = 8010,
    token: str | None = None,
    offer: Sequence[str] = (),
    origins: Collection[str] = (),
    ready: Callable[[str], None] = lambda address: None,
    **options: Any,
) -> None:
    """Serve the router until interrupted; running answers then get a few seconds. `port` 0 takes a free one; `ready`
    is told the address. `options` are those of `app`.

    Raises `SettingsError` where the port cannot be had, or other machines could reach it and there is no token.
    """
    token = token or None
    mend = "set a token (POLYROUTE_TOKEN, or the variable of --token-env), or listen on 127.0.0.1."
    try:
        hosts = hosts_of(host, token, mend=mend)
        listener = listening(host, port)
    except InputError as error:
        raise SettingsError(str(error)) from None
    with listener:
        application = app(router, token=token, hosts=hosts, offer=offer, origins=origins, **options)
        ready(f"{address_of(host, listener)}/v1")
        run(application, listener)
