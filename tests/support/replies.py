"""For tests of protocols: texts that try to be more than text, actions, and what came of them."""

from __future__ import annotations

from hypothesis import strategies as st

from router_graph.actions import Answer, Note, RouteToKB, RouteToLLM
from router_graph.protocols.brief import Brief
from router_graph.protocols.r1_router import R1Router
from router_graph.protocols.router_r1 import RouterR1
from router_graph.protocols.tags import Tags
from router_graph.protocols.tool_calls import ToolCalls
from support.views import hit, observation

MENDED = {"tags": Tags(), "brief": Brief(), "router_r1": RouterR1(), "r1_router": R1Router(), "tool_calls": ToolCalls()}
ALL = {**MENDED, "router_r1 as in the code": RouterR1(mended=False), "r1_router as in the code": R1Router(mended=False)}

_pieces = st.sampled_from(
    """<think> </think> <answer> </answer> <route to="kb:books"> </route> <search> </search> <information>
    </information> <information/> <sub-question> </sub-question> <ret> </ret> <note enough="yes"> </note> <problem>
    <ANSWER > < /answer> <answer <|im_end|> </tool_call> <tool_call> &lt; &gt; &amp; &quot; &amp;lt; & &l t; <
    > " ' ] [ : | fast:who books None kb:books llm:fast [books:1]
    Question: \\[ &#60; ＜answer＞ \ud800 \x00 \x1b[2J""".split()
)
texts = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(_pieces, st.text(max_size=5), st.sampled_from([" ", "\n"])), max_size=12).map("".join),
)
"""Any text, most of it made of pieces of our grammars."""

said = texts.map(str.strip).filter(lambda text: text and text.lower() != "none")
"""What can be said: not blank, no space at its ends; "None" is R1-Router's word for nothing."""

routes = st.one_of(
    st.builds(
        RouteToKB,
        st.sampled_from(["books", "tables"]),
        said,
        k=st.none() | st.integers(1, 100),
        linked=st.none() | said.map(lambda name: f"kb:{name}"),
    ),
    st.builds(RouteToLLM, st.sampled_from(["fast", "big/one@2"]), said, evidence=st.booleans()),
)
notes = st.one_of(st.builds(Note, said, st.booleans()), st.just(Note("", enough=True)))
answers = st.builds(Answer, said)

hits = st.builds(hit, texts, kb=st.sampled_from(["books", "tables"]), doc_id=texts.filter(bool), title=texts)
statuses = st.sampled_from(["ok", "empty", "failed", "refused", "declined", "repeated"])
came = st.builds(observation, statuses, texts, st.lists(hits, max_size=4))
