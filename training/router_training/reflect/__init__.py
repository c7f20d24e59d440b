"""Better words without weights: cards and advice for the router, rewritten from what went wrong, and kept if they help.

GEPA (arXiv 2507.19457) searches, through its library; a chat model writes; held-out questions decide.
"""

from router_training.reflect.difference import difference
from router_training.reflect.search import Reflection, reflect
from router_training.reflect.texts import ADVICE, Texts, graph_builder, load_texts, save_texts, texts_of
from router_training.reflect.trial import Judge, Task, answered_right

__all__ = [
    "ADVICE",
    "Judge",
    "Reflection",
    "Task",
    "Texts",
    "answered_right",
    "difference",
    "graph_builder",
    "load_texts",
    "reflect",
    "save_texts",
    "texts_of",
]
