"""html → one `Passage` a file: what a reader sees, without scripts, styles and navigation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from kb_tools.documents import Passage
from kb_tools.loaders.origin import Origin, brief

_UNSEEN = ["script", "style", "nav", "noscript", "template", "svg", "iframe", "object", "head"]
_BLOCKS = (
    "address article aside blockquote br caption dd details div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 "
    "header hr li main ol p pre section summary table tbody tfoot thead title tr ul"
).split()
_CELLS = ["td", "th"]


def read_html(origin: Origin) -> Iterator[Passage]:
    """The text of the page, a line a block, titled by `<title>`, else its first heading, else the file name."""
    data = origin.path.read_bytes()
    title, text = _visible(origin, data)
    yield Passage(id=origin.name, title=title or origin.path.stem, text=text, metadata=origin.metadata())


def _visible(origin: Origin, data: bytes) -> tuple[str, str]:
    from bs4 import BeautifulSoup

    try:
        # Files are UTF-8 unless they say otherwise; a guess by statistics would be wrong in silence.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # XHTML and short texts: bs4 warns, and reads them
            page = BeautifulSoup(data, "lxml", from_encoding=_encoding(origin, data))
        title = page.title or page.h1
        name = " ".join(title.get_text().split()) if title else ""
        for element in page(_UNSEEN):
            element.decompose()
        for element in page(_BLOCKS):
            element.insert_before("\n")
            element.insert_after("\n")
        for element in page(_CELLS):
            element.insert_after("\t")
        text = page.get_text()
    except (ValueError, RecursionError, AssertionError) as error:
        raise origin.unreadable(f"it is no html ({brief(error)})") from None
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return name, "\n".join(filter(None, lines))


def _encoding(origin: Origin, data: bytes) -> str | None:
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    if declared or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return declared  # None lets the byte order mark speak
    from kb_tools.loaders.decoding import decode_text

    decode_text(origin, data)
    return "utf-8"
