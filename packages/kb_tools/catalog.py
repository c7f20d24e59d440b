"""A folder of knowledge bases, or a Chroma server of them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

from kb_tools.documents import Modality, check_text
from kb_tools.embeddings import fingerprint
from kb_tools.errors import EmbeddingMismatchError, KBExistsError, KBInputError, UnknownKBError
from kb_tools.knowledge_base import KnowledgeBase
from kb_tools.search.snapshot import REVISION
from kb_tools.space import Space
from kb_tools.store import FORMAT, Store, check_format

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from kb_tools.images import ImageEmbedder

DEFAULT_LOCATION = "polyroute-kb"
_PREFIX = "kb."
_VISUAL = ".visual"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


class Catalog:
    """Knowledge bases by name. Opening one creates nothing; the first write makes the folder and takes its lock.

    `location` is a folder or the `http://host:port` of a Chroma server. `embedding` is any LangChain `Embeddings`;
    without one it is MiniLM, on the CPU. `image_embedder` is for knowledge bases of images; without one it is
    `VisualFeatures`.
    """

    def __init__(
        self,
        location: str | Path = DEFAULT_LOCATION,
        *,
        embedding: Embeddings | None = None,
        image_embedder: ImageEmbedder | None = None,
    ) -> None:
        self._store = Store.open(location)
        self._embedding = embedding
        self._image_embedder = image_embedder
        self._open: dict[str, KnowledgeBase] = {}  # by the id of the collection
        self._closed = False

    def __repr__(self) -> str:
        return f"Catalog({self.location!r})"

    @property
    def location(self) -> str:
        """The folder's absolute path, or the server's address."""
        return self._store.location

    def create(
        self,
        name: str,
        *,
        description: str,
        modality: Modality = "text",
        cost_usd: float = 0.0,
        exist_ok: bool = False,
    ) -> KnowledgeBase:
        """Make a knowledge base, or with `exist_ok` open the one of that name.

        `description` is the paragraph that a policy reads when it chooses where to ask; `cost_usd` is the price of
        one search. Raises `KBExistsError` where the name is taken, or taken by another modality.
        """
        if not _NAME.fullmatch(name):
            raise KBInputError(
                f"{name!r} is no name for a knowledge base; use 1 to 63 letters, digits, '-' and '_', "
                "beginning and ending with a letter or digit."
            )
        check_text("description", description)
        if modality not in get_args(Modality):
            raise KBInputError(f"modality is {modality!r}; it can be {', '.join(get_args(Modality))}.")
        if not cost_usd >= 0:
            raise KBInputError(f"cost_usd is {cost_usd}; the price of a search is 0 or more USD.")
        if name in self.names():
            kb = self.open(name)
            if exist_ok and kb.modality == modality:
                return kb
            raise KBExistsError(
                f"There is a knowledge base {name!r} of modality {kb.modality!r} already; "
                "open it, remove it, or choose another name."
            )
        self._store.acquire_writer()
        text, visual = self._embeddings(modality)
        header: dict[str, Any] = {
            "kb:format": FORMAT,
            "kb:name": name,
            "kb:description": description,
            "kb:modality": modality,
            "kb:cost_usd": float(cost_usd),
            REVISION: 0,
        }
        with self._store.session():
            # The visual collection first: the knowledge base exists once its text collection does.
            if visual is not None:
                self._create(name + _VISUAL, {**header, "kb:embedding": visual.name})
            self._create(name, {**header, "kb:embedding": fingerprint(text)})
        return self.open(name)

    def open(self, name: str) -> KnowledgeBase:
        """The knowledge base of a name. Raises `UnknownKBError`, which names those that exist, and
        `EmbeddingMismatchError` where it was made with another embedding."""
        known = self.names()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            listed = f"there are {', '.join(known)}" if known else "there are none yet"
            raise UnknownKBError(f"No knowledge base {name!r} in {self.location}; {listed}.{hint}")
        space = Space(self._store, _PREFIX + name)
        collection = space.collection
        if str(collection.id) in self._open:
            return self._open[str(collection.id)]
        header = dict(collection.metadata or {})
        check_format(header.get("kb:format"), f"Knowledge base {name!r}", "a newer polyroute")
        text, visual = self._embeddings(header["kb:modality"])
        self._same_embedding(name, header["kb:embedding"], fingerprint(text))
        seen = None
        if visual is not None:
            seen = Space(self._store, _PREFIX + name + _VISUAL)
            self._same_embedding(name, seen.header["kb:embedding"], visual.name)
        kb = self._open[str(collection.id)] = KnowledgeBase(space, seen, embedding=text, image_embedder=visual)
        return kb

    def names(self) -> list[str]:
        """The knowledge bases that exist, in order."""
        if not self._store.exists:
            return []
        with self._store.session():
            found = [collection.name for collection in self._store.client.list_collections()]
        return sorted(
            name.removeprefix(_PREFIX) for name in found if name.startswith(_PREFIX) and not name.endswith(_VISUAL)
        )

    def remove(self, name: str) -> None:
        """Delete a knowledge base and all that it holds."""
        if name not in self.names():
            self.open(name)  # raises, and says what there is
        self._store.acquire_writer()
        for collection in (_PREFIX + name, _PREFIX + name + _VISUAL):
            with self._store.session():
                there = [c.name for c in self._store.client.list_collections()]
            if collection in there:
                Space(self._store, collection).drop()

    def close(self) -> None:
        """Let go of the folder and, with the last catalog of this process that is open on it, of its lock."""
        if not self._closed:
            self._closed = True
            self._open.clear()
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _create(self, name: str, header: dict[str, Any]) -> None:
        self._store.client.get_or_create_collection(
            _PREFIX + name,
            metadata=header,
            embedding_function=None,  # Chroma's default would fetch a model
            configuration={"hnsw": {"space": "cosine", "ef_search": 200}},
        )

    def _embeddings(self, modality: str) -> tuple[Embeddings, ImageEmbedder | None]:
        if self._embedding is None:
            from kb_tools.embeddings.minilm import MiniLM

            self._embedding = MiniLM()
        if modality == "image" and self._image_embedder is None:
            from kb_tools.embeddings.visual import VisualFeatures

            self._image_embedder = VisualFeatures()
        return self._embedding, self._image_embedder if modality == "image" else None

    def _same_embedding(self, name: str, made_with: str, given: str) -> None:
        if made_with != given:
            raise EmbeddingMismatchError(
                f"Knowledge base {name!r} was made with the embedding {made_with!r} and cannot be read with {given!r}; "
                f"open it with {made_with!r}, or rebuild it: remove({name!r}), create it again and add its documents."
            )
