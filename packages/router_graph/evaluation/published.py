"""Figures that others have published. They are shown beside ours, and marked: nobody here has measured them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """One row of somebody's table."""

    policy: str
    metric: str
    value: float
    cost: float | None
    """In cost units; None where it was not published."""
    n: int
    source: str


_R1 = "Router-R1, arXiv 2506.09033"
NQ: tuple[Published, ...] = tuple(
    Published(name, "em", em, cost, 500, f"{_R1}, tables 1 and 4" if cost is not None else f"{_R1}, table 1")
    for name, em, cost in (
        ("Direct, Qwen2.5-3B", 0.092, None),
        ("CoT, Qwen2.5-3B", 0.126, None),
        ("SFT, Qwen2.5-3B", 0.212, None),
        ("RAG, Qwen2.5-3B", 0.298, None),
        ("Search-R1, Qwen2.5-3B", 0.328, None),
        ("Prompt LLM", 0.300, 20.0),
        ("Largest LLM", 0.296, 20.2),
        ("KNN Router", 0.262, 41.0),
        ("MLP Router", 0.252, None),
        ("BERT Router", 0.230, None),
        ("RouterDC", 0.278, 57.5),
        ("GraphRouter", 0.276, 29.6),
        ("Prompt LLM, several rounds", 0.258, 286.4),
        ("KNN Router, several rounds", 0.236, None),
        ("Router-R1-Qwen, alpha 0", 0.388, 150.6),
        ("Router-R1-Qwen, alpha 0.6", 0.388, 150.0),
        ("Router-R1-Qwen, alpha 0.7", 0.318, 32.3),
        ("Router-R1-Qwen, alpha 0.8", 0.320, 28.9),
        ("Router-R1-Qwen, alpha 0.9", 0.244, 5.5),
        ("Router-R1-Llama, alpha 0", 0.416, None),
    )
)
"""On 500 questions of Natural Questions. Costs are of completion tokens of the asked models alone: neither prompts nor
the router's own tokens. Their baselines were prompted for short answers, and Router-R1's models were not, so that cost
and quality differ by the prompt too."""
