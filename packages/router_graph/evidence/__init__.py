"""What documents have to do with a question: shared words, rows of tables, links, and the few words that answer it.

No language model, no numbers library: plain reading, the same every time.
"""

from __future__ import annotations

from router_graph.evidence.answering import short_answer
from router_graph.evidence.links import link_name, links_of
from router_graph.evidence.rows import Rows, rows_of
from router_graph.evidence.words import rarity, words

__all__ = ["Rows", "link_name", "links_of", "rarity", "rows_of", "short_answer", "words"]
