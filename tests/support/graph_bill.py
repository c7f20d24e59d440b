"""The bill of a run, held against what the model server metered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router_graph.ledger import Entry
from support.model_server import Row


def differences(entries: Mapping[str, Entry], rows: Sequence[Row]) -> list[str]:
    """Where the bill is wrong, a sentence each: none for a run that is right to the token.

    A call that was answered, or refused, is booked exactly. Where the provider broke off and nobody can know what it
    charges, the bill must say that it is an estimate, and not be below the meter.
    """
    booked = [one for one in sorted(entries.values(), key=lambda one: one["at"]) if one["purpose"] != "knowledge_base"]
    sent = [one for one in booked if one["state"] == "settled"]
    wrong = [f"{one['name']} is still {one['state']}" for one in booked if one["state"] == "reserved"]
    for name in {one["name"] for one in sent} | {row.model for row in rows}:
        ours = [one for one in sent if one["name"] == name]
        theirs = [row for row in rows if row.model == name]
        # On a busy machine a call can break off before the server has read it: booked, and never metered.
        for unseen in [one for one in ours if one["estimated"] and one["error"]][: max(0, len(ours) - len(theirs))]:
            ours.remove(unseen)
        if len(ours) != len(theirs):
            wrong.append(f"{name} is booked {len(ours)} times, and metered {len(theirs)} times")
            continue
        for entry, row in zip(ours, theirs, strict=True):
            metered, tokens = row.prompt + row.completion, entry["spent"]["tokens"]
            if entry["estimated"] and tokens < metered:
                wrong.append(f"{name} is booked with {tokens} tokens at the most, and metered with {metered}")
            if not entry["estimated"] and tokens != metered:
                wrong.append(f"{name} is booked with {tokens} tokens, and metered with {metered}")
            if entry["estimated"] and entry["error"] is None:
                wrong.append(f"{name} answered, and is booked with an estimate")
    return wrong
