"""A reply as judges read it: without what was thought aloud before it, and in one spelling."""

from __future__ import annotations

import re
import unicodedata

_THOUGHT = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'"))


def spoken(reply: str) -> str:
    """The reply without a thought at its start; nothing is left of one that was cut off while thinking.

    Templates that open the thought in the prompt leave only its end in the reply: all before it is thought too.
    """
    without = _THOUGHT.sub("", reply, count=1)
    return _END_OF_THOUGHT.sub("", without, count=1).strip()


def normalized(text: str) -> str:
    """Compatibility forms made one, lower case, straight apostrophes, single spaces, without emphasis marks."""
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return " ".join(re.sub(r"[*_#>]+", " ", text).split())
