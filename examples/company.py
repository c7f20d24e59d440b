"""What the examples know of a company: a handbook of passages, and a table of plans."""

from __future__ import annotations

from kb_tools import Catalog, KnowledgeBase, Passage, Table


def handbook_of(catalog: Catalog) -> KnowledgeBase:
    """The staff handbook."""
    handbook = catalog.create("handbook", description="The staff handbook: leave, travel, receipts.", exist_ok=True)
    handbook.add(
        [
            Passage(id="leave", title="Leave", text="Everybody has 30 days of leave a year. Ask for it in Tempo."),
            Passage(id="travel", title="Travel", text="Trains are booked by the office. Flights need a signature."),
            Passage(
                id="expenses", title="Expenses", text="Receipts are kept for six years. Meals are paid up to 28 EUR."
            ),
        ]
    )
    return handbook


def plans_of(catalog: Catalog) -> KnowledgeBase:
    """What the company sells."""
    plans = catalog.create(
        "plans", description="What our plans cost, with their seats.", modality="table", exist_ok=True
    )
    rows = [["Free", "0", "1"], ["Team", "12", "20"], ["Company", "40", "500"]]
    plans.add(Table(id="plans", title="Our plans", header=["plan", "USD a month", "seats"], rows=rows))
    return plans
