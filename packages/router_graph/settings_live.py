"""What a router.yaml names, opened: knowledge bases, pool, policy, checkpoints, and the graph of them."""

from __future__ import annotations

import contextlib
import difflib
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from router_graph.context import RouterContext
from router_graph.errors import RouterError, SettingsError
from router_graph.knowledge import Knowledge
from router_graph.pool.pool import ModelPool
from router_graph.pool.pool_file import load_pool, pool_of
from router_graph.resources import DEFAULTS, Resources
from router_graph.settings import RouterFile, Sources, read_settings
from router_graph.settings_file import Place

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    from router_graph.protocols.protocol import Protocol
    from router_graph.trajectories.recorder import Recorder


class Router:
    """A router of settings. Close it, or use it in a `with` block: it holds a folder of knowledge bases open.

    with load_router("router.yaml") as router:
        print(router.graph.invoke({"question": "…"})["answer"])
    """

    def __init__(self, sources: Sources) -> None:
        self.settings: RouterFile = sources.settings
        self.problems: list[str] = []
        """Knowledge bases that could not be opened, each in a sentence; the others are there."""
        self._sources = sources
        self._open = contextlib.ExitStack()
        try:
            self.resources: Resources = self._resources()
            self.checkpointer: BaseCheckpointSaver[str] | None = self._checkpointer()
            self.recorder: Recorder | None = self._recorder()
        except BaseException:
            self._open.close()
            raise

    @functools.cached_property
    def graph(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The graph, compiled with the checkpointer of the settings."""
        return self.compiled(self.checkpointer)

    def compiled(self, checkpointer: BaseCheckpointSaver[str] | None) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The graph with a checkpointer of your own."""
        from router_graph.graph import create_router

        graph = create_router(self.resources, checkpointer=checkpointer)
        return graph if self.recorder is None else graph.with_config(callbacks=[self.recorder])

    def close(self) -> None:
        """Let go of the folder of knowledge bases, and of the files of threads and runs."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _resources(self) -> Resources:
        settings = self.settings
        knowledge, pool = self._described(self._knowledge(), self._pool())
        policy = settings.policy
        if policy is None and not knowledge and pool is not None and pool.cards:
            policy = "cheapest"  # the heuristic asks knowledge bases alone
        defaults = RouterContext.model_validate(settings.turn.model_dump(exclude_unset=True))
        make = functools.partial(Resources, knowledge, pool=pool)
        try:
            resources = make(
                policy=policy, protocol=self._protocol(), exclusions=settings.exclusions, defaults=defaults
            )
        except RouterError as error:
            raise self._located(error, make, len(settings.exclusions)) from None
        nobody = not knowledge and (pool is None or not pool.cards)
        if nobody and resources.policy(resources.defaults["policy"]).card is None:
            raise SettingsError(
                f"There is nobody to ask: no knowledge base{self._looked_in}, and no model. "
                "Make one (polyroute kb add NAME PATH), list models in pool.yaml, or pass --policy with a model's id."
            )
        return resources

    def _knowledge(self) -> list[Knowledge]:
        part, place = self.settings.knowledge, ("knowledge", "location")
        self._looked_in = ""
        location = self._sources.knowledge_location()
        if location is None:
            return []
        from kb_tools import Catalog
        from kb_tools.errors import KBError

        opened: list[Knowledge] = []
        try:
            catalog = self._open.enter_context(Catalog(location))
            self._looked_in = f" in {catalog.location}"
            names = catalog.names()
        except KBError as error:
            raise SettingsError(self._sources.sentence(place, str(error))) from error
        for n, name in enumerate(part.only if part.only is not None else names):
            try:
                opened.append(Knowledge.of(catalog.open(name)))
            except KBError as error:
                if part.only is not None:
                    raise SettingsError(self._sources.sentence(("knowledge", "only", n), str(error))) from error
                self.problems.append(str(error))  # one that cannot be opened hides no other
        return opened

    def _pool(self) -> ModelPool | None:
        part, file = self.settings.pool, self._sources.pool_path()
        if part.file == "auto":
            return None if file is None else load_pool(file)
        try:
            if part.file is not None:
                return None if file is None else load_pool(file)
            return pool_of(part, self._sources.file.folder)
        except RouterError as error:
            raise SettingsError(self._sources.sentence(("pool",), str(error))) from error

    def _protocol(self) -> Protocol | str | None:
        """The protocol of the settings, with their advice."""
        if not (advice := self.settings.advice):
            return self.settings.protocol
        from router_graph.protocols import protocol_named
        from router_graph.protocols.advised import Advised

        return Advised(protocol_named(self.settings.protocol or DEFAULTS.protocol or ""), advice)

    def _described(
        self, knowledge: list[Knowledge], pool: ModelPool | None
    ) -> tuple[list[Knowledge], ModelPool | None]:
        """The sources, with what the settings say of them. Raises `SettingsError` for one that there is not."""
        told = self.settings.descriptions
        known = [*(f"kb:{one.name}" for one in knowledge), *(f"llm:{name}" for name in (pool.cards if pool else ()))]
        for key in told:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known) or 'none'}."
                problem = f"descriptions name {key!r}, which is no source; {hint}"
                raise SettingsError(self._sources.sentence(("descriptions", key), problem))
        for name in pool.cards if pool else ():
            if pool is not None and (text := told.get(f"llm:{name}")) is not None:
                pool.redescribe(name, text)
        return [replace(one, description=told.get(f"kb:{one.name}", one.description)) for one in knowledge], pool

    def _checkpointer(self) -> BaseCheckpointSaver[str] | None:
        from router_graph.checkpoints import opened_checkpoints

        where, place = self.settings.checkpoints, ("checkpoints",)
        try:
            return self._open.enter_context(opened_checkpoints(where, self._sources.path(place, where)))
        except SettingsError as error:
            raise SettingsError(self._sources.sentence(place, str(error))) from error

    def _recorder(self) -> Recorder | None:
        where, place = self.settings.runs, ("runs",)
        if where == "none":
            return None
        from router_graph.trajectories.recorder import Recorder

        try:
            return self._open.enter_context(Recorder(self._sources.path(place, where)))
        except SettingsError as error:
            raise SettingsError(self._sources.sentence(place, str(error))) from error

    def _located(self, error: RouterError, make: Callable[..., Resources], exclusions: int) -> RouterError:
        """The error with the line of the setting that it is about, found by trying each alone."""
        settings = self.settings
        trials: list[tuple[Place, dict[str, Any]]] = [
            (("exclusions", n), {"exclusions": [settings.exclusions[n]]}) for n in range(exclusions)
        ]
        trials += [((name,), {name: getattr(settings, name)}) for name in ("policy", "protocol")]
        for name in settings.turn.model_fields_set:
            trials.append((("turn", name), {"defaults": RouterContext(**{name: getattr(settings.turn, name)})}))
        for place, options in trials:
            try:
                make(**options)
            except RouterError as found:
                if str(found) == str(error):
                    return SettingsError(self._sources.sentence(place, str(error)))
        return error


def load_router(path: str | Path | None = None, **arguments: Any) -> Router:
    """The router of a file, for which arguments and environment variables may say otherwise; see `read_settings`.

    Raises `RouterError`: one sentence, with the line of the file where there is one.
    """
    return Router(read_settings(path, **arguments))
