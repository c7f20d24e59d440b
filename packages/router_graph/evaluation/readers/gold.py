"""Where public files of questions say which documents are needed: each layout's own way, as `questions.FindGold`.

Documents are named by their titles, as the files name them: index passages under their titles to have them found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_graph.evaluation.questions import FindGold, stated


def facts(metadata: Mapping[str, Any]) -> tuple[object, object]:
    """HotpotQA and 2WikiMultihopQA in FlashRAG's form: `supporting_facts` with titles, all needed."""
    told = metadata.get("supporting_facts")
    titles = told.get("title") if isinstance(told, Mapping) else [one[0] for one in told or ()] or None
    return (None if titles is None else list(dict.fromkeys(titles))), metadata.get("gold_kbs")


def musique(metadata: Mapping[str, Any]) -> tuple[object, object]:
    """MuSiQue: the paragraphs that are marked as supporting, all needed."""
    paragraphs = metadata.get("paragraphs")
    if paragraphs is None:
        return stated(metadata)
    titles = [one["title"] for one in paragraphs if one.get("is_supporting")]
    return list(dict.fromkeys(titles)), metadata.get("gold_kbs")


def multimodalqa(metadata: Mapping[str, Any]) -> tuple[object, object]:
    """MultiModalQA: `supporting_context` with ids, all needed, in knowledge bases called as their modality."""
    context = metadata.get("supporting_context")
    if context is None:
        return stated(metadata)
    return [one["doc_id"] for one in context], list(dict.fromkeys(one["doc_part"] for one in context))


LAYOUTS: Mapping[str, FindGold] = {
    "flashrag": stated,
    "hotpotqa": facts,
    "2wiki": facts,
    "musique": musique,
    "triviaqa": stated,
    "popqa": stated,
    "bamboogle": stated,
    "multimodalqa": multimodalqa,
}
"""By the name of the benchmark."""
