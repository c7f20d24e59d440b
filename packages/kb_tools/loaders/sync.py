"""Keeps a knowledge base in step with files: what changed goes in, what is gone goes out, nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from kb_tools.documents import MODALITY_OF, Document, Image, Modality, Passage, Table
from kb_tools.errors import MissingExtraError, UnreadableFileError
from kb_tools.loaders.files import FoundFile, find_files, resolve
from kb_tools.loaders.findings import Findings
from kb_tools.loaders.origin import UnreadableFile
from kb_tools.loaders.pictures import sidecar_names
from kb_tools.loaders.progress import Work
from kb_tools.loaders.read import read_file, refusal


class AddCounts(Protocol):
    """What an `add` did, in documents."""

    @property
    def added(self) -> int: ...
    @property
    def updated(self) -> int: ...
    @property
    def unchanged(self) -> int: ...


class Target(Protocol):
    """What `load` needs of a knowledge base; `KnowledgeBase` is one."""

    @property
    def modality(self) -> Modality: ...

    def add(
        self,
        documents: Iterable[Document],
        /,
        *,
        on_batch: Callable[[int], None] | None,
        on_share: Callable[[float], None] | None,
    ) -> AddCounts:
        """Write documents whose digest is new, in batches; pass over the others.

        `on_share(x)` is told which share of the batch is embedded, 0 to 1, `on_batch(n)` that its n documents are in.
        """

    def delete(self, ids: Sequence[str], /) -> int:
        """Remove documents; how many there were."""

    def sources(self) -> dict[str, list[str]]:
        """The ids of the documents of each source (metadata `source`)."""


class LoadReport(BaseModel):
    """What a `load` did. The first four count documents, the lists hold (path, reason)."""

    model_config = ConfigDict(frozen=True)

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    unreadable: list[tuple[str, str]] = []
    """Files that are there but could not be read, or only up to a flaw; nothing of theirs was removed."""
    skipped: list[tuple[str, str]] = []
    """Files, or documents of them, that stay out: an unknown suffix, another modality, no text, an id that is taken."""
    assumed: list[tuple[str, str]] = []
    """What a file did not say and was assumed of it, such as its encoding."""


def load(
    kb: Target, paths: str | Path | Sequence[str | Path], *, on_progress: Callable[[int, int, str], None] | None = None
) -> LoadReport:
    """Synchronise `kb` with files and folders: one path, or several.

    Every file is parsed again; documents whose digest the knowledge base has already are not written again, so that a
    second run over unchanged files costs the parsing alone. Documents are handed over one by one: what is held in
    memory is one file (of jsonl one line) and the ids. Removed is what came from below the given folders, or from the
    given files, and was not seen this time, unless its file is there and could not be read.

    Ids do not collide in silence. Of two documents of one run with the same id the first, in order of sources, stays
    and the other is reported; so is a document whose id belongs to a file outside of `paths` that still exists.

    `on_progress(done_bytes, total_bytes, label)` counts the bytes of the files whose documents are embedded.
    Raises `KBInputError` where there is nothing to read, and what `kb.add` raises; then nothing is removed.
    """
    paths = [paths] if isinstance(paths, str | Path) else paths
    found = find_files(paths)
    run = _Run(kb, found, [resolve(path) for path in paths], on_progress)
    counts = kb.add(run.documents(), on_batch=run.progress.batch_done, on_share=run.progress.batch_share)
    run.progress.finish()
    gone = run.gone()
    removed = kb.delete(gone) if gone else 0
    return LoadReport(
        added=counts.added,
        updated=counts.updated,
        unchanged=counts.unchanged,
        removed=removed,
        unreadable=run.findings.unreadable,
        skipped=run.findings.skipped(),
        assumed=run.findings.assumed,
    )


class _Run:
    """One pass over the files: gives their documents and remembers what was seen."""

    def __init__(
        self,
        kb: Target,
        found: list[FoundFile],
        given: list[Path],
        on_progress: Callable[[int, int, str], None] | None,
    ) -> None:
        self.findings = Findings()
        self._modality = kb.modality
        self._found = found
        self._before = kb.sources()
        self._owner = {doc_id: source for source, ids in self._before.items() for doc_id in ids}
        self._files = {path.as_posix() for path in given if not path.is_dir()}
        self._folders = tuple(path.as_posix().rstrip("/") + "/" for path in given if path.is_dir())
        self._seen: set[str] = set()
        self._kept: list[str] = []
        self._foreign: dict[str, bool] = {}
        self.progress = Work(on_progress)

    def documents(self) -> Iterator[Document]:
        """The documents of all files that belong in; what does not goes to the findings."""
        files = [file for file in self._found if self._belongs(file)]
        sizes = [_size(file.path) for file in files]
        self.progress.begin(sum(sizes))
        for file, size in zip(files, sizes, strict=True):
            self.progress.open_file(file.path.name, size)
            yield from self._of_file(file, self.progress.read_in_file)
            self.progress.close_file()

    def gone(self) -> list[str]:
        """The ids of documents that came from here earlier and are not here any more."""
        return [
            doc_id
            for source, ids in self._before.items()
            if self._in_scope(source) and not self._is_kept(source)
            for doc_id in ids
            if doc_id not in self._seen
        ]

    def _belongs(self, file: FoundFile) -> bool:
        path = str(file.path)
        if file.unreadable is not None:
            self._kept.append(file.source)
            self.findings.unreadable.append((path, file.unreadable))
            return False
        reason = file.skipped or refusal(file.path, self._modality)
        if reason is not None:
            # Of a text that stands beside a picture it must be said that it stays out as well.
            captions = [
                beside.name for beside in sidecar_names(file.path) if beside.suffix == ".txt" and beside.is_file()
            ]
            self.findings.skip_file(path, reason + "".join(f" ({name} was taken for its caption)" for name in captions))
        return reason is None

    def _of_file(self, file: FoundFile, on_bytes: Callable[[int], None]) -> Iterator[Document]:
        taken = 0
        try:
            for document in read_file(file.path, file.source, self._modality, name=file.name, on_bytes=on_bytes):
                self.progress.give_document()
                if self._wanted(file, document):
                    taken += 1
                    yield document
        except (UnreadableFileError, MissingExtraError) as error:
            self._kept.append(file.source)
            reason = error.reason if isinstance(error, UnreadableFile) else str(error).rstrip(".")
            before = f" (the {taken} before the flaw went in)" if taken else ""
            self.findings.unreadable.append((str(file.path), reason + before))

    def _wanted(self, file: FoundFile, document: Passage | Table | Image) -> bool:
        path = str(file.path)
        held = MODALITY_OF[document.kind]
        if held != self._modality:
            self.findings.skip(path, f"of modality {held}, not {self._modality}", document.id)
            return False
        if isinstance(document, Passage) and not document.text.strip():
            self.findings.skip(path, "without text", document.id)
            return False
        if document.id in self._seen:
            self.findings.skip(path, "with an id that another document of this run has already", document.id)
            return False
        owner = self._owner.get(document.id)
        if owner is not None and self._is_foreign(owner):
            self.findings.skip(
                path,
                f"with an id that belongs to {owner} already; give both paths in one command, "
                "change the ids, or rename the file",
                document.id,
            )
            return False
        if (encoding := document.metadata.get("encoding")) is not None:
            self.findings.assumed.append((path, f"it is not UTF-8 and was read as {encoding}"))
        self._seen.add(document.id)
        return True

    def _is_foreign(self, source: str) -> bool:
        """Whether a source is none of this run's and not a file that is gone (one that was moved gives its ids on)."""
        if source not in self._foreign:
            gone = Path(source).is_absolute() and not Path(source).exists()
            self._foreign[source] = not self._in_scope(source) and not gone
        return self._foreign[source]

    def _in_scope(self, source: str) -> bool:
        return source in self._files or source.startswith(self._folders)

    def _is_kept(self, source: str) -> bool:
        """Whether the file, or a folder above it, is there and could not be read."""
        return any(source == kept or source.startswith(kept + "/") for kept in self._kept)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
