"""A knowledge base as the graph sees it: a name, a paragraph, a price, and a search."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from router_graph.errors import KnowledgeError
from router_graph.state import Hit, as_hit, one_line, plain

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


@runtime_checkable
class Searchable(Protocol):
    """What a knowledge base has to have: `kb_tools.KnowledgeBase` does, and so may yours.

    `asearch` returns hits, best first, as mappings or objects with the fields of `Hit`. Where it takes `image` it can
    be asked with a picture, and where it takes `within` only among documents of these ids. Where there is an `acount`,
    it is never asked for more documents than that.
    """

    name: str
    description: str

    async def asearch(self, query: str, k: int) -> Sequence[Any]:
        """The k best documents."""


@dataclass(frozen=True)
class Knowledge:
    """A knowledge base of the graph. `of` makes one of a `Searchable`; a retriever needs a name and a paragraph."""

    name: str
    description: str
    base: Searchable | BaseRetriever
    modality: str = "text"
    cost_usd: float = 0.0
    """USD per search."""
    timeout_s: float = 30.0
    """The longest wait for a search; a slower one becomes an observation that says so."""
    takes: frozenset[str] = field(default=frozenset(), compare=False)
    """Which of `image` and `within` its search understands."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise KnowledgeError(
                f"{self.name!r} is no name for a knowledge base; use 1 to 63 letters, digits, '-' and '_', "
                "beginning and ending with a letter or digit."
            )
        if not self.cost_usd >= 0 or not self.timeout_s > 0:
            raise KnowledgeError(
                f"The knowledge base {self.name!r} needs a cost_usd of 0 or more and a timeout_s above 0, and not "
                f"cost_usd={self.cost_usd!r}, timeout_s={self.timeout_s!r}."
            )
        if isinstance(self.base, Searchable):
            known = inspect.signature(self.base.asearch).parameters
            object.__setattr__(self, "takes", frozenset({"image", "within"} & set(known)))

    @classmethod
    def of(cls, base: object) -> Knowledge:
        """The knowledge base, or what stands for one. Raises `KnowledgeError`."""
        if isinstance(base, Knowledge):
            return base
        if isinstance(base, Searchable):
            about = {name: getattr(base, name) for name in ("modality", "cost_usd") if hasattr(base, name)}
            return cls(base.name, base.description, base, **about)
        if isinstance(base, BaseRetriever):
            raise KnowledgeError(
                "A retriever has no name and no description to be chosen by; "
                'give them as Knowledge("name", "what it holds", retriever).'
            )
        raise KnowledgeError(
            f"{type(base).__name__!r} is no knowledge base; give one of kb_tools, a Knowledge around a retriever, "
            "or an object with name, description and asearch(query, k)."
        )

    async def search(
        self, query: str, k: int, *, images: Sequence[str] = (), within: Sequence[str] | None = None
    ) -> list[Hit]:
        """The k best documents, or as many as there are.

        `images` are data URLs; the first is asked with, where the knowledge base understands pictures. Raises what the
        knowledge base raises.
        """
        if isinstance(self.base, BaseRetriever):
            found = _hits(self.name, await self.base.ainvoke(query))
            return [hit for hit in found if within is None or hit["doc_id"] in within][:k]
        if hasattr(self.base, "acount"):  # those of kb_tools refuse to be asked for more than they hold
            k = min(k, await self.base.acount())
            if k == 0:
                return []
        options: dict[str, Any] = {}
        if within is not None and "within" in self.takes:
            options["within"] = list(within)
        if images and self.modality == "image" and "image" in self.takes:
            from router_graph.images import image_bytes

            options["image"] = image_bytes(images[0])
        hits = map(self._hit, await self.base.asearch(query, k, **options))
        allowed = None if within is None else frozenset(within)
        return list(itertools.islice((hit for hit in hits if allowed is None or hit["doc_id"] in allowed), k))

    def _hit(self, hit: Any) -> Hit:
        data = hit if isinstance(hit, Mapping) else hit.model_dump()
        if missing := [field for field in ("doc_id", "text") if field not in data]:
            raise KnowledgeError(f"a hit without {missing[0]!r} came back; a hit has doc_id and text")
        return as_hit({"title": "", "score": 0.0, "metadata": {}, **data, "kb": self.name})


def knowledge_by_name(bases: Iterable[Knowledge | Searchable] | Mapping[str, Any]) -> dict[str, Knowledge]:
    """The knowledge bases by name. Raises `KnowledgeError` where two share one, and for what is none."""
    if isinstance(bases, Knowledge | Searchable | BaseRetriever) or not isinstance(bases, Iterable):
        raise KnowledgeError(
            f"{type(bases).__name__!r} is no list of knowledge bases; give a list, as in [handbook, prices]."
        )
    given = list(bases.values()) if isinstance(bases, Mapping) else list(bases)
    named: dict[str, Knowledge] = {}
    for base in map(Knowledge.of, given):
        if base.name in named:
            raise KnowledgeError(f"Two knowledge bases are called {base.name!r}; give one another name.")
        named[base.name] = base
    return named


def _hits(kb: str, documents: Sequence[Document]) -> list[Hit]:
    hits = []
    for rank, document in enumerate(documents, start=1):
        about = document.metadata
        hits.append(
            Hit(
                kb=kb,
                doc_id=one_line(document.id or about.get("id") or about.get("source") or rank),
                title=str(about.get("title") or ""),
                text=document.page_content,
                score=1 / rank,
                metadata={str(key): plain(value) for key, value in about.items()},
            )
        )
    return hits
