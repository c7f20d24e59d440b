"""A bill to print, from the entries of a ledger or of a graph's state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from router_graph.budget import PICO, Amount
from router_graph.ledger import Entry, total

_FEWEST_PLACES, _PICO_PLACES = 2, 12


def format_bill(entries: Mapping[str, Entry]) -> str:
    """A line for each purpose and name, in order of time, then what is still reserved, then the total.

    Every amount has as many decimals as the longest needs: the lines add up to the total exactly. `~` marks amounts of
    which a part is estimated. Plain text, the same in a terminal and in a log.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in sorted(entries.values(), key=lambda entry: entry["at"]):
        groups.setdefault((entry["purpose"], entry["name"]), []).append(entry)
    reserved = [entry for entry in entries.values() if entry["state"] == "reserved"]
    amounts = [_spent(group) for group in groups.values()]
    spent, held = total(entries, "spent"), total(entries, "reserved")
    places = max(map(_places, (*amounts, spent, held)))
    rows = [
        (purpose, _visible(name), *_sums(group, amount, places))
        for ((purpose, name), group), amount in zip(groups.items(), amounts, strict=True)
    ]
    if reserved:
        most = (f"at most {_shown(held, places)} USD",)
        rows.append(("reserved", "", _counted(reserved), f"{held.tokens:,} tokens", *most))
    rows.append(("total", "", *_sums(list(entries.values()), spent, places)))
    return _aligned(rows)


def _spent(entries: Iterable[Entry]) -> Amount:
    return sum((Amount(**entry["spent"]) for entry in entries if entry["state"] == "settled"), Amount())


def _sums(entries: Sequence[Entry], spent: Amount, places: int) -> tuple[str, str, str]:
    settled = [entry for entry in entries if entry["state"] == "settled"]
    about = "~" if any(entry["estimated"] for entry in settled) else ""
    notes = {
        "failed": sum(entry["error"] is not None for entry in settled),
        "not sent": sum(entry["state"] == "released" for entry in entries),
        "under way": sum(entry["state"] == "reserved" for entry in entries),
    }
    told = ", ".join(f"{number} {what}" for what, number in notes.items() if number)
    calls = _counted(entries) + (f" ({told})" if told else "")
    return calls, f"{about}{spent.tokens:,} tokens", f"{about}{_shown(spent, places)} USD"


def _counted(entries: Sequence[Entry]) -> str:
    return f"{len(entries):,} call{'' if len(entries) == 1 else 's'}"


def _places(amount: Amount) -> int:
    decimals = f"{amount.picousd % PICO:0{_PICO_PLACES}d}".rstrip("0")
    return max(_FEWEST_PLACES, len(decimals))


def _shown(amount: Amount, places: int) -> str:
    whole, part = divmod(amount.picousd, PICO)
    return f"{whole:,}.{part:0{_PICO_PLACES}d}"[: places - _PICO_PLACES or None]


def _visible(name: str) -> str:
    """A name of one line that cannot steer a terminal."""
    return name if name.isprintable() else ascii(name)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True) if width]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join((*left, *right)))
    return "\n".join(lines)
