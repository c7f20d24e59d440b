"""An evaluation as one page of HTML that loads nothing and runs nothing."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from router_graph.evaluation.charts import Point, bars, scatter
from router_graph.evaluation.comparing import Row
from router_graph.evaluation.evaluating import Evaluation
from router_graph.evaluation.tables import HEADINGS, cell, chance, columns_of, label, verdict

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c1f24;--dim:#5d6570;--line:#d9dde3;--soft:#f4f5f7;
--policy:#b42318;--simple:#175cd3;--published:#7a5195;--bound:#087443;--control:#98a2b3}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6e8eb;--dim:#9aa3ae;--line:#343a42;--soft:#1d2127;
--policy:#ff7a6b;--simple:#6ea8ff;--published:#c9a3e0;--bound:#4cc38a;--control:#667085}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.5rem;line-height:1.25;margin:0}
h2{font-size:1.15rem;margin:2.25rem 0 .5rem}p,li{max-width:48rem;overflow-wrap:anywhere}.dim{color:var(--dim)}
code{background:var(--soft);padding:.1rem .35rem;border-radius:.3rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:600}th:first-child,td:first-child{text-align:left}
tr.policy td:first-child{color:var(--policy);font-weight:650}tr.control td,tr.bound td{color:var(--dim)}
svg{display:block;width:100%;min-width:40rem;max-width:60rem;height:auto}
svg text{fill:var(--dim);font:12px system-ui,sans-serif}
.grid{stroke:var(--line)}.front{fill:none;stroke:var(--simple);stroke-dasharray:5 4}
svg g line{stroke-width:1.5;opacity:.55}svg g path{stroke:var(--line);fill:none}
.policy{fill:var(--policy);stroke:var(--policy)}.simple{fill:var(--simple);stroke:var(--simple)}
.published{fill:var(--published);stroke:var(--published)}.bound{fill:var(--bound);stroke:var(--bound)}
.control{fill:var(--control);stroke:var(--control)}svg g text{stroke:none}svg g.policy text{fill:var(--policy)}
.key span{display:inline-block;width:.7rem;height:.7rem;border-radius:50%;margin:0 .35rem 0 .9rem}
""" + "".join(
    f".part{place}{{fill:{colour}}}"
    for place, colour in enumerate(
        ("#4878d0", "#ee854a", "#6acc64", "#d65f5f", "#956cb4", "#8c613c", "#dc7ec0", "#82c6e2")
    )
)


def page(done: Evaluation) -> str:
    """The whole document. Its policy forbids the browser to load or run anything."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(done.title)}</title>\n<style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(_body(done))
        + "\n</main></body></html>\n"
    )


def _body(done: Evaluation) -> Iterator[str]:
    metric, cost = HEADINGS.get(done.metric, done.metric), HEADINGS.get(done.cost, done.cost)
    versions = ", ".join(f"{name} {one}" for name, one in done.about["versions"].items())
    yield f"<h1>{_text(done.title)}</h1>"
    yield (
        f'<p class="dim">n = {done.rows[0].n}; seeds {_text(", ".join(map(str, done.about["seeds"])))}; 95 % bootstrap '
        f"intervals over questions. {_text(metric)} decides, against {_text(cost)}. Python "
        f"{_text(done.about['python'])}, {_text(versions)}.</p><p><code>{_text(done.about['command'])}</code></p>"
    )
    if said := [one for row in done.rows if (one := verdict(row, done.metric, done.cost))]:
        yield "<ul>" + "".join(f"<li>{_text(one)}</li>" for one in said) + "</ul>"
    yield f"<h2>{_text(metric)} against {_text(cost)}</h2>"
    yield _KEY
    yield scatter([*_points(done.rows, done.metric, done.cost), *_published(done)], x=cost, y=f"{metric}, %")
    if done.cost != "retrievals" and any(
        "retrievals" in row.metrics and row.metrics["retrievals"].mean > 0 for row in done.rows
    ):
        yield f"<h2>{_text(metric)} against searches</h2>"
        yield scatter(list(_points(done.rows, done.metric, "retrievals")), x="searches", y=f"{metric}, %")
    if "coverage" in columns_of(done.rows):
        yield "<h2>Answer in the evidence, against the documents that it took</h2>"
        yield scatter(list(_points(done.rows, "coverage", "documents")), x="documents", y="in evidence, %")
    yield "<h2>All figures</h2>"
    yield _figures(done.rows)
    if tests := _tests(done):
        yield f"<h2>{_text(metric)}, points ahead of each simple policy</h2>"
        yield '<p class="dim">Whatever they cost; paired by question, p of exchanged signs.</p>'
        yield tests
    if money := bars({row.policy: row.usd for row in done.rows if row.sort != "control"}, "USD"):
        yield "<h2>Where the money went</h2>"
        yield money
    confused = [row for row in done.rows if row.confusion and row.sort in ("policy", "simple")]
    if confused:
        yield "<h2>Who was asked first, by who has it</h2>"
        yield from (f"<h3>{_text(row.policy)}</h3>{_confusion(row)}" for row in confused)
    yield "<h2>What to know</h2><ul>"
    yield from (f"<li>{_text(note)}</li>" for note in done.notes)
    yield "</ul>"


_KEY = '<p class="key dim">' + "".join(
    f'<span style="background:var(--{style})"></span>{said}'
    for style, said in (
        ("policy", "compared"),
        ("simple", "simple; dashed: what they reach at best"),
        ("published", "published by others"),
        ("bound", "bound"),
        ("control", "control"),
    )
) + "</p>"  # fmt: skip


def _points(rows: Sequence[Row], metric: str, cost: str) -> Iterator[Point]:
    for row in rows:
        if metric in row.metrics and cost in row.metrics:
            one = row.metrics[metric]
            yield Point(row.policy, row.metrics[cost].mean, one.mean, one.low, one.high, row.sort)


def _published(done: Evaluation) -> Iterator[Point]:
    for one in done.published:
        if one.metric == done.metric and one.cost is not None and done.cost == "cost_units":
            yield Point(one.policy, one.cost, one.value, one.value, one.value, "published")


def _figures(rows: Sequence[Row]) -> str:
    names = columns_of(rows)
    head = "".join(f"<th>{_text(HEADINGS.get(name, name))}</th>" for name in names)
    body = "".join(
        f'<tr class="{row.sort}"><td>{_text(label(row))}</td>'
        + "".join(f"<td>{_text(cell(row, name))}</td>" for name in names)
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr><th></th>{head}</tr>{body}</table></div>'


def _tests(done: Evaluation) -> str:
    simple = [row.policy for row in done.rows if row.sort == "simple"]
    rows = [row for row in done.rows if row.sort == "policy" and row.against]
    if not simple or not rows:
        return ""
    head = "".join(f"<th>{_text(name)}</th>" for name in simple)
    body = ""
    for row in rows:
        cells = "".join(
            f"<td>{100 * one.value.mean:+.1f} [{100 * one.value.low:+.1f}, {100 * one.value.high:+.1f}]<br>"
            f'<span class="dim">{chance(one.p)}</span></td>'
            for one in (row.against[name] for name in simple)
        )
        body += f'<tr class="policy"><td>{_text(row.policy)}</td>{cells}</tr>'
    return f'<div class="scroll"><table><tr><th></th>{head}</tr>{body}</table></div>'


def _confusion(row: Row) -> str:
    columns = sorted({name for counts in row.confusion.values() for name in counts})
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = ""
    for wanted, counts in row.confusion.items():
        total = sum(counts.values())
        cells = "".join(
            f'<td style="background:color-mix(in srgb,var(--simple) {round(60 * counts.get(name, 0) / total)}%,'
            f'transparent)">{counts.get(name, 0)}</td>'
            for name in columns
        )
        body += f"<tr><td>{_text(wanted)}</td>{cells}</tr>"
    return f'<div class="scroll"><table><tr><th>has it</th>{head}</tr>{body}</table></div>'


def _text(given: object) -> str:
    """Anything as text that is no markup and steers nothing."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(given))
    return html.escape(shown, quote=True)
