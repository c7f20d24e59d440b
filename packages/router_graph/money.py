"""Money for people to read."""

from __future__ import annotations

from decimal import Decimal


def usd(amount: float) -> str:
    """At least cents, and at least two digits that say something."""
    if amount == 0 or amount >= 0.1:
        return f"${amount:.2f}"
    return f"${Decimal(f'{amount:.1e}'):f}"
