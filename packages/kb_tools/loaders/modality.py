"""What a set of files holds, where nobody said so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kb_tools.documents import Modality
from kb_tools.errors import KBInputError, UnreadableFileError
from kb_tools.loaders.files import FoundFile
from kb_tools.loaders.formats import modality_of
from kb_tools.loaders.jsonl import peek_modality


def infer_modality(found: Iterable[FoundFile]) -> Modality:
    """The one modality of all files that can be read; of jsonl files the first line is looked at.

    Raises `KBInputError` where there are several (it counts them), or where it cannot be told.
    """
    count: Counter[Modality] = Counter()
    unclear: list[str] = []
    for file in found:
        if file.to_read:
            try:
                count[modality_of(file.path) or peek_modality(file.path)] += 1
            except (UnreadableFileError, OSError) as error:
                unclear.append(str(error).rstrip("."))
    if len(count) == 1:
        return next(iter(count))
    if not count:
        reason = f" ({unclear[0]})" if unclear else ""
        raise KBInputError(f"The files do not say what they hold{reason}; pass --modality text, table or image.")
    counted = ", ".join(f"{number} {kind}" for kind, number in count.most_common())
    raise KBInputError(
        f"The files are of several kinds ({counted}), and a knowledge base holds one; "
        "pass --modality text, table or image to take those of one kind."
    )
