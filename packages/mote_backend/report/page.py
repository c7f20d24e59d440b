"""A page of HTML that needs nothing else: its frame, its style, and escaping."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c1f24;--dim:#5d6570;--line:#d9dde3;--soft:#f4f5f7;
--more:#b42318;--less:#175cd3;--good:#087443;--mid:#9a5b00;--bad:#b42318;--band:#98a2b3;--cell:#eceef1}
@media(prefers-color-scheme:dark){:root{
--bg:#14171b;--fg:#e6e8eb;--dim:#9aa3ae;--line:#343a42;--soft:#1d2127;
--more:#ff7a6b;--less:#6ea8ff;--good:#4cc38a;--mid:#e0a341;--bad:#ff7a6b;--band:#667085;--cell:#23282f}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2.25rem 0 .5rem}
p{margin:.5rem 0;max-width:46rem;overflow-wrap:anywhere}
.dim{color:var(--dim)}small,.dim{font-size:.875rem}
.word{display:inline-block;font-weight:650;border:2px solid;border-radius:.4rem;padding:.05rem .6rem;margin:.5rem 0}
.good{color:var(--good)}.mid{color:var(--mid)}.bad{color:var(--bad)}
.scroll{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;width:100%}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--dim)}td.n,th.n{text-align:right;white-space:nowrap}td.said{min-width:16rem}
svg{display:block;max-width:100%;min-width:34rem;height:auto}svg text{fill:var(--dim);font:11px system-ui,sans-serif}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:.75rem;margin:.25rem 0 .75rem}
.pair>div{background:var(--soft);border-radius:.4rem;padding:.5rem .7rem;min-width:0}
.text{white-space:pre-wrap;overflow-wrap:anywhere}
.ask{margin:1rem 0 0;font-weight:600}
details{border-top:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer;font-weight:600}
@media(max-width:40rem){.pair{grid-template-columns:1fr}main{padding-top:1rem}}
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole document. It may load nothing and run nothing: its policy says so to the browser too."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def text(given: object) -> str:
    """Anything as text that is no markup; control and direction characters are shown as what they are, not obeyed."""
    shown = "".join(one if one in "\n\t" or one.isprintable() else _named(one) for one in str(given))
    return html.escape(shown, quote=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of cells that are markup already; columns in `numbers` stand on the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=n' if at in numbers else ''}>{cell}</{tag}>" for at, cell in enumerate(row))

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    )


def section(title: str, *parts: str) -> str:
    """A heading and what stands under it."""
    return f"<section><h2>{text(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def _named(character: str) -> str:
    return " " if character.isspace() else f"⟨U+{ord(character):04X}⟩"
