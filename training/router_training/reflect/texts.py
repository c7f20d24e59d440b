"""The words that a router reads: what each knowledge base and model is described by, and advice on whom to ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from router_graph.graph import create_router
from router_graph.knowledge import Knowledge, Searchable, knowledge_by_name
from router_graph.policies.policy import Policy
from router_graph.pool.pool import ModelPool
from router_graph.protocols import protocol_named
from router_graph.protocols.advised import Advised
from router_graph.protocols.protocol import Protocol
from router_graph.yaml_edit import edit
from router_training.errors import DataError

ADVICE = "advice"
LONGEST = 1_200
"""Characters of a text: every prompt pays for it, at every step."""
Texts = Mapping[str, str]
"""By option (`kb:NAME`: its description; `llm:NAME`: its strengths) and `ADVICE`."""
Graph = CompiledStateGraph[Any, Any, Any, Any]
Build = Callable[[Texts], Graph]
"""The graph in which the policy reads these texts."""
Bases = Iterable[Knowledge | Searchable] | Mapping[str, Any]


def texts_of(knowledge: Bases, pool: ModelPool | None = None, *, advice: str = "") -> dict[str, str]:
    """The texts as they are."""
    texts = {f"kb:{one.name}": one.description for one in knowledge_by_name(knowledge).values()}
    texts |= {f"llm:{name}": card.strengths for name, card in (pool.cards if pool else {}).items()}
    return {**texts, ADVICE: advice}


def graph_builder(
    knowledge: Bases,
    *,
    pool: ModelPool | None = None,
    policy: Policy | str | None = None,
    protocol: Protocol | str = "tags",
    **options: Any,
) -> Build:
    """Builds the graph of `create_router` with these parts and other texts; `options` are those of `create_router`.

    The parts themselves stay as they are.
    """
    bases = knowledge_by_name(knowledge)
    spoken = protocol_named(protocol) if isinstance(protocol, str) else protocol

    def build(texts: Texts) -> Graph:
        described = [replace(one, description=texts.get(f"kb:{name}", one.description)) for name, one in bases.items()]
        return create_router(
            described,
            pool=None if pool is None else _reworded(pool, texts),
            policy=policy,
            protocol=Advised(spoken, texts.get(ADVICE, "")),
            **options,
        )

    return build


def within_bounds(text: str) -> str:
    """One paragraph, no longer than a card may be: a writer's line breaks and flourishes are left out."""
    return " ".join(text.split())[:LONGEST]


def save_texts(texts: Texts, path: str | Path) -> None:
    """Write them as JSON."""
    Path(path).write_text(json.dumps(dict(texts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_texts(path: str | Path) -> dict[str, str]:
    """Read them back. Raises `DataError` where the file has none."""
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} holds no texts ({error}); write it with `polyroute train reflect`.") from None
    if not isinstance(told, dict) or not all(isinstance(one, str) for one in told.values()):
        raise DataError(f"{path} holds no texts; they are one object, a text by the name of each.")
    return told


def write_texts(before: Texts, texts: Texts, path: Path) -> None:
    """Put the texts that changed into a router.yaml, whose comments stay: `advice`, and `descriptions` by source.

    `${` is written apart, so that nothing a model wrote is replaced by a variable of the environment when the file is
    read. Raises `DataError` where the file cannot be changed.
    """
    from ruamel.yaml.error import YAMLError

    changed = {name: text.replace("${", "$ {") for name, text in texts.items() if text != before.get(name)}

    def put(content: Any) -> None:
        for name, text in changed.items():
            if name == ADVICE:
                content[ADVICE] = text
            elif content.get("descriptions") is None:
                content["descriptions"] = {name: text}
            else:
                content["descriptions"][name] = text

    try:
        if edit(path, put):
            return
        problem = "without a change of what else it says"
    except (OSError, YAMLError) as error:
        problem = f"({' '.join(str(error).split())})"
    raise DataError(f"{path} cannot be changed {problem}; write the texts with --out, and put them in by hand.")


def _reworded(pool: ModelPool, texts: Texts) -> ModelPool:
    """The same models, reached through the first pool, under cards that say these strengths."""
    other = ModelPool()
    for name, card in pool.cards.items():
        told = card.model_copy(update={"strengths": texts.get(f"llm:{name}", card.strengths)})
        other.add(told, transport=pool.as_chat_model(name))
    return other
