"""The policy without a language model: look, follow what the documents link to, and answer from what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from router_graph.actions import Answer, RouteToKB
from router_graph.evidence import (
    Pin,
    heading,
    link_name,
    links_of,
    pinned,
    rarity,
    rows_of,
    short_answer,
    sure_answer,
    words,
)
from router_graph.policies.closing import nothing
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.version import versioned
from router_graph.state import Hit, Observation
from router_graph.view import View

_LONGEST_QUERY = 300
"""Characters of a sub-query that is made of cells; some cells hold a whole biography."""

CLOSE = 0.2
"""The share of the best document's fit that a document needs before its links are followed."""

PINNED_ROW = 1.0
"""What being the one row that the question can only mean adds; the best row by words has 1."""
LEFT_FOR_ROWS = 2
"""Documents that are not asked for before the best rows were read."""

_Search = tuple[int, RouteToKB, Observation]
"""The number of the step, what was asked, and what came of it."""
_Move = tuple[str, list[RouteToKB]]
"""Why, and the searches."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much `Heuristic` collects. The numbers were chosen on the train questions of OTT-QA."""

    documents: int = 12
    """The most documents of evidence for a question."""
    look: int = 4
    """Documents of the first look, spread over the knowledge bases that it asks: at least 1 of each, and 2 of the one
    that is described best."""
    linked: int = 6
    """Documents among those that the best linking one links to."""
    rows: int = 3
    """Rows whose links are fetched."""
    bases: int = 6
    """Knowledge bases that are asked at once, those first whose descriptions fit best."""


class Heuristic(ChoicePolicy):
    """Deterministic, and asks no model.

    1. Look: search all knowledge bases, of many those whose descriptions fit the question best, for a document or two
       each. The order of the menu decides nothing.
    2. Follow: search for the question among the documents that the best linking one links to, such as a table. One that
       has nothing to do with the question is not followed.
    3. Rows: fetch what the best rows of that table link to. A row is good where its rare words, or its place in an
       order that is asked for, fit the question, or where it links to a document that step 2 ranked high; best is the
       one row that the question can only mean.
    4. Where nothing links: search once more, for the words of the question that no document has.
    5. Answer, as soon as a row of a table says it outright or a step brings nothing new: the few words that fit best,
       with their source; or that there is none, where the evidence holds few of the question's names and rare words.

    Steps 2 and 3 are what the questions of OTT-QA (arXiv 2010.10439) are made of: a table, and passages that its cells
    link to.
    """

    name = "heuristic"

    def __init__(self, extent: Extent | None = None) -> None:
        self.extent = extent or Extent()
        self.version = versioned("2", {} if extent is None else asdict(extent))

    def choose(self, view: View) -> Choice:
        """The next searches, or the answer."""
        room = self.extent.documents - len(view.evidence)
        if view.must_answer is None and room > 0:
            for thought, routes in self._moves(view, room):
                if affordable := _affordable(view, routes):
                    return Choice(thought, tuple(affordable))
        return _answer(view)

    def _moves(self, view: View, room: int) -> Iterator[_Move]:
        """What can be done next, the best first."""
        searches = [
            (step["number"], route, seen) for step, route, seen in view.routes() if isinstance(route, RouteToKB)
        ]
        if not view.evidence:
            yield self._look(view, searches, room)
        elif not sure_answer(view.question, view.evidence) and _brought_something(view):
            source = _source(view, searches)
            if source is None:
                yield self._look_again(view, searches, room)
            else:
                yield self._follow(view, searches, source, room)
                yield self._take_rows(view, searches, source, room)

    def _look(self, view: View, searches: Sequence[_Search], room: int) -> _Move:
        """Search the best knowledge bases that were not asked yet."""
        asked = {route.kb for _, route, _ in searches}
        bases = [kb for kb in _best_described(view) if kb not in asked][: self.extent.bases]
        most = max(self.extent.look, len(bases) + 1)
        if view.left["steps"] == 1:  # there is no second look
            most = max(most, 10)
        routes = [
            RouteToKB(kb, view.question, k=k) for kb, k in zip(bases, _shares(min(room, most), len(bases)), strict=True)
        ]
        return "First a look at what there is.", [one for one in routes if one.k]

    def _follow(self, view: View, searches: Sequence[_Search], source: Hit, room: int) -> _Move:
        """Search among the documents that the source links to, for what the source itself does not explain."""
        name = link_name(source)
        if any(route.linked == name for _, route, _ in searches):
            return "", []
        query = _without(heading(source), view.question)
        bases = _linked_bases(view, source)[: self.extent.bases]
        shares = _shares(min(max(1, room - LEFT_FOR_ROWS), self.extent.linked), len(bases))
        routes = [RouteToKB(kb, query, k=k, linked=name) for kb, k in zip(bases, shares, strict=True) if k]
        return f"{_called(source)} links to documents that may hold the answer.", routes

    def _take_rows(self, view: View, searches: Sequence[_Search], source: Hit, room: int) -> _Move:
        """Fetch what the best rows of the source link to."""
        name, links, table = link_name(source), links_of(source), rows_of(source)
        followed = [(number, route.kb, seen["hits"]) for number, route, seen in searches if route.linked == name]
        if len({number for number, _, _ in followed}) != 1:
            return "", []
        _, base, hits = max(followed, key=lambda one: len(one[2]))
        if base not in view.names("kb"):
            return "", []
        known = {hit["doc_id"] for hit in view.evidence}
        routes: list[RouteToKB] = []
        for row in _best_rows(view.question, source, hits)[: self.extent.rows]:
            cells = [cell for cell in row if not known.issuperset(links.get(cell, ()))]
            unseen = {one for cell in cells for one in links[cell]} - known
            if unseen and room > 0:
                k = min(len(unseen), room)
                routes.append(RouteToKB(base, "; ".join(cells)[:_LONGEST_QUERY], k=k, linked=name))
                known |= unseen
                room -= k
        pin = _pin(view, source)
        meant = f"“{table.cells[pin.row][0][:80]}”" if table and pin else "rows"
        return f"The question is about {meant} in {_called(source)}; now for what is linked there.", routes

    def _look_again(self, view: View, searches: Sequence[_Search], room: int) -> _Move:
        """Search once more, for the words of the question that no document has."""
        told = set(words(" ".join(f"{hit['title']} {hit['text']}" for hit in view.evidence)))
        missing = [part for part in view.question.split() if not told.issuperset(words(part))]
        best = _best_fitting(view)
        if not missing or len({number for number, _, _ in searches}) > 1 or best["kb"] not in view.names("kb"):
            return "", []
        query = f"{best['title']} {' '.join(missing)}".strip()[:_LONGEST_QUERY]
        return "Some of the question is not in any document yet.", [
            RouteToKB(best["kb"], query, k=min(room, self.extent.look))
        ]


def _answer(view: View) -> Choice:
    if found := short_answer(view.question, view.evidence):
        return Choice("This fits best of what was found.", (Answer(found),))
    thought = "What was found has little to do with the question." if view.evidence else "Nothing was found."
    return Choice(thought, (Answer(nothing(view)),))


def _affordable(view: View, routes: Sequence[RouteToKB]) -> list[RouteToKB]:
    """As many of the searches as the money that is left pays for."""
    left, kept = view.left["usd"], []
    for route in routes:
        option = view.option(route.target)
        price = option["usd"] if option is not None else 0.0
        if left is None or price <= left:
            kept.append(route)
            left = None if left is None else left - price
    return kept


def _shares(most: int, parts: int) -> list[int]:
    """So many documents in so many parts, as even as can be, the larger ones first."""
    return [most // parts + (part < most % parts) for part in range(parts)]


def _best_described(view: View) -> list[str]:
    """The knowledge bases that may be asked, by the rare words that their description shares with the question."""
    names = view.names("kb")
    told = {
        name: set(words(f"{name} {option['description']}")) for name in names if (option := view.option(f"kb:{name}"))
    }
    wanted = sorted(set(words(view.question)))
    worth = rarity(wanted, told.values())
    return sorted(names, key=lambda name: (-sum(worth[word] for word in wanted if word in told[name]), name))


def _brought_something(view: View) -> bool:
    """Whether the last step found a document that was not known before."""
    last = view.steps[-1]
    before = {link_name(hit) for hit in View(view.question, (), steps=view.steps[:-1]).evidence}
    return any(link_name(hit) not in before for seen in last.get("observations", {}).values() for hit in seen["hits"])


def _fits(view: View) -> dict[str, float]:
    """How well each document fits: the rare words of the question that it holds, by its link name."""
    told = {link_name(hit): set(words(f"{hit['title']} {hit['text']}")) for hit in view.evidence}
    wanted = sorted(set(words(view.question)))
    worth = rarity(wanted, told.values())
    return {name: sum(worth[word] for word in wanted if word in text) for name, text in told.items()}


def _source(view: View, searches: Sequence[_Search]) -> Hit | None:
    """The document whose links are followed: that of the best rank in its own search, if the question means a row of
    it, or it has more to do with the question than next to nothing."""
    fits = _fits(view)
    found = [
        (rank, not _pin(view, hit), -fits[link_name(hit)], place, hit)
        for place, (_, route, seen) in enumerate(searches)
        if route.linked is None
        for rank, hit in enumerate(seen["hits"])
        if links_of(hit) and (_pin(view, hit) or fits[link_name(hit)] >= CLOSE * max(fits.values()))
    ]
    return min(found, key=lambda one: one[:4])[4] if found else None


def _pin(view: View, source: Hit) -> Pin | None:
    """The one row of a table that the question means."""
    table = rows_of(source)
    return pinned(view.question, table, heading(source)) if table else None


def _linked_bases(view: View, source: Hit) -> list[str]:
    """The knowledge bases that may hold what a document links to: those known to, else all others, else its own."""
    names = _best_described(view)
    ids = {one for linked in links_of(source).values() for one in linked}
    known = {hit["kb"] for hit in view.evidence if hit["doc_id"] in ids}
    return (
        [name for name in names if name in known]
        or [name for name in names if name != source["kb"]]
        or [name for name in names if name == source["kb"]]
    )


def _best_rows(question: str, source: Hit, hits: Sequence[Hit]) -> list[list[str]]:
    """The rows of a table that the question is about, best first: by themselves, and by the rank of what they link to
    among these hits."""
    table, links = rows_of(source), links_of(source)
    if table is None:
        return []
    near = {hit["doc_id"]: 1 / rank for rank, hit in enumerate(hits, start=1)}
    pin = pinned(question, table, heading(source))
    scored = []
    for number, score in enumerate(table.scores(question, heading(source))):
        score += PINNED_ROW * (pin is not None and pin.row == number)
        linked = [near.get(one, 0.0) for cell in table.cells[number] for one in links.get(cell, ())]
        scored.append((score + max(linked, default=0.0), number))
    return [table.cells[number] for score, number in sorted(scored, key=lambda one: (-one[0], one[1])) if score > 0]


def _best_fitting(view: View) -> Hit:
    """The document with the most rare words of the question."""
    fits = _fits(view)
    return max(view.evidence, key=lambda hit: fits[link_name(hit)])


def _without(known: str, question: str) -> str:
    """The question without the words that are known; all of it where nothing would be left."""
    told = set(words(known))
    left = [part for part in question.split() if not words(part) or not told.issuperset(words(part))]
    return " ".join(left) if words(" ".join(left)) else question


def _called(hit: Hit) -> str:
    return f"“{hit['title'][:80]}”" if hit["title"] else f"[{link_name(hit)}]"
