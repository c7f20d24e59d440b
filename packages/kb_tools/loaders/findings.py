"""What a load has to say about files: bounded, however many documents it is about."""

from __future__ import annotations

from dataclasses import dataclass, field

_EXAMPLES = 3


@dataclass(slots=True)
class Findings:
    """Collects (path, reason); documents of one file with the same reason are counted, and the first few named."""

    unreadable: list[tuple[str, str]] = field(default_factory=list)
    assumed: list[tuple[str, str]] = field(default_factory=list)
    _files: list[tuple[str, str]] = field(default_factory=list)
    _documents: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _count: dict[tuple[str, str], int] = field(default_factory=dict)

    def skip_file(self, path: str, reason: str) -> None:
        """A whole file stays out."""
        self._files.append((path, reason))

    def skip(self, path: str, reason: str, doc_id: str) -> None:
        """One document of a file stays out; `reason` reads on from "1 document"."""
        key = (path, reason)
        self._count[key] = self._count.get(key, 0) + 1
        named = self._documents.setdefault(key, [])
        if len(named) < _EXAMPLES:
            named.append(doc_id)

    def skipped(self) -> list[tuple[str, str]]:
        """Everything that stayed out, files first."""
        return [*self._files, *((path, self._sentence((path, reason), reason)) for path, reason in self._count)]

    def _sentence(self, key: tuple[str, str], reason: str) -> str:
        count, named = self._count[key], self._documents[key]
        ids = ", ".join(map(repr, named)) + (", …" if count > len(named) else "")
        return f"{count} {'document' if count == 1 else 'documents'} {reason}: {ids}"
