"""What documents have to do with a question: shared words, rows of tables, links, and the few words that answer it.

No language model, no numbers library: plain reading, the same every time.
"""

from __future__ import annotations

from router_graph.evidence.answering import short_answer, sure_answer
from router_graph.evidence.links import link_name, links_of
from router_graph.evidence.lookup import Pin, pinned
from router_graph.evidence.rows import Rows, heading, rows_of
from router_graph.evidence.words import rarity, words

__all__ = [
    "Pin",
    "Rows",
    "heading",
    "link_name",
    "links_of",
    "pinned",
    "rarity",
    "rows_of",
    "short_answer",
    "sure_answer",
    "words",
]
