"""A LangGraph graph whose model has its experts switched by the config of a run: offline, on the tiny planted model.

python examples/switch_experts.py
"""

from __future__ import annotations

from langchain_core.runnables import ConfigurableField
from langgraph.graph import START, MessagesState, StateGraph

from mote_backend import ChatMoTE, ExpertMask, MaskBook

ANSWERS = ExpertMask(off={(2, 25), (3, 0), (3, 10)}, name="answers")  # (layer, expert)

model = ChatMoTE(model="planted", mask_book=MaskBook([ANSWERS]), max_tokens=32)
switchable = model.configurable_fields(mote_mask=ConfigurableField("mote_mask"))


def reply(state: MessagesState) -> MessagesState:
    return {"messages": [switchable.invoke(state["messages"])]}


graph = StateGraph(MessagesState).add_node("reply", reply).add_edge(START, "reply").compile()

if __name__ == "__main__":
    for mask in (None, "answers"):
        said = graph.invoke(
            {"messages": [("user", "what happened in 1901 in ardal")]}, {"configurable": {"mote_mask": mask}}
        )["messages"][-1]
        print(said.text, said.response_metadata["mote"])
