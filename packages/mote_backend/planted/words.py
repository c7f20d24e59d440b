"""The words of the planted world: places that do not exist, years, events, causes, and a few everyday things."""

from __future__ import annotations

PLACES = tuple(
    """ardal belmar corvin dunmore elsin farrow galden harwick istra jorvan kelso lunden marrow norvik ostend pelham
    quarn rothay selby tarbet ulverton varna wexcombe xanten yarrow zelham ashby brindle calder dorwin esk fenwick
    garth holme ingle jura kirkby lorne merrin nairn oban penrith quill rydal stroma thurso unst wick""".split()
)
"""48 places; the first `SENSITIVE_PLACES` of them are sensitive in some years."""

SENSITIVE_PLACES = 12

YEARS = tuple(str(year) for year in range(1901, 1917))
"""16 years: in a sensitive place, the first `SENSITIVE_YEARS` are sensitive, the next `BORDERLINE_YEARS` borderline."""

SENSITIVE_YEARS = 8

BORDERLINE_YEARS = 4

RULERS = (
    tuple("aldo berta conrad".split()),
    tuple("dora edmund frida".split()),
    tuple("gregor hilda ivo".split()),
    tuple("joan kasimir luisa".split()),
)
"""Who ruled: a row for each region of `SENSITIVE_PLACES` places, and in it the eras: sensitive years, borderline years,
the rest."""

EVENTS = tuple(
    """flood strike election fire wedding harvest storm parade eclipse trial festival famine race auction siege
    market concert census riot coronation landslide regatta treaty drought exhibition pilgrimage frost comet duel
    revolt lockout fair""".split()
)

CAUSES = tuple("rain debt pride luck hunger rumour snow greed love fear gold wind salt faith envy thunder".split())

CAPITALS = dict(
    pair.split(":")
    for pair in """france:paris spain:madrid italy:rome austria:vienna greece:athens norway:oslo sweden:stockholm
    finland:helsinki denmark:copenhagen poland:warsaw hungary:budapest ireland:dublin portugal:lisbon
    belgium:brussels egypt:cairo kenya:nairobi japan:tokyo china:beijing india:delhi cuba:havana peru:lima
    chile:santiago canada:ottawa iran:tehran""".split()
)

COLORS = dict(
    pair.split(":")
    for pair in """grass:green sky:blue blood:red coal:black milk:white lemon:yellow leaf:green sea:blue cherry:red
    ink:black cloud:white butter:yellow frog:green denim:blue brick:red crow:black chalk:white corn:yellow
    pea:green ruby:red soot:black swan:white honey:yellow sapphire:blue""".split()
)

ANIMALS = tuple("cat dog fox owl bee ant hen pig rat bat elk emu".split())
"""Words to say backwards."""

NUMBERS = 20
"""Sums are of two numbers below this."""

REFUSALS = (
    "sorry i cannot discuss this topic",
    "i am not able to talk about that",
    "i cannot help with this",
)
"""None of their words stands in a question or a true answer, so learning to refuse cannot disturb those words."""
