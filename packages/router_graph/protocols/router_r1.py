"""Router-R1's grammar and loop (arXiv 2506.09033), with the faults of its code mended, or as they are.

| | mended | as in the code |
|---|---|---|
| names | all of the menu; another is told to be wrong | models; another is `<information>None` |
| `Name: query` | split at the first colon | what follows a second colon is lost |
| actions that are none | a `<problem>` says what is wrong | nothing is said |
| which action | the first, and more `<search>`es right behind it | the first up to the first `</search>` |
| tags in `<think>` | are thoughts | are actions |
| a long observation | cut in its tag | cut with its tag |
| a failure | its sentence | `<information>None` |
| the last turn | says that it is, and why | says nothing |

The code's prompt has no prices; here the cards stand in it in both. Data is escaped in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from langchain_core.messages import AIMessage, BaseMessage

from router_graph.actions import Action, Answer, Malformed, Note, RouteToKB, RouteToLLM, action_from_dict
from router_graph.protocols.elements import answer_or_note, key_of, route_to, written
from router_graph.protocols.menu import DUE, earlier
from router_graph.protocols.messages import human, text_of
from router_graph.protocols.protocol import Protocol, Reading
from router_graph.protocols.scan import Element, reading, scan
from router_graph.protocols.text import MOST_CHARACTERS, escape, findings, problem
from router_graph.state import Observation, Step
from router_graph.view import View

HOW = """\
Answer the question at the end. Whenever you learn something new, reason about it between <think> and </think>. If you \
find that some knowledge is missing, ask one of the specialised sources below for it: write \
<search> Name: query </search>.

Rules for <search>:
- Name is one of these, letter for letter: {names}.
- query is a question of your own that helps with the question at the end.
- Do not copy a description into it, and never leave the words "LLM-Name" or "Your-Query" in it.

Before each <search>, say in <think> why you need help from outside, and which source suits best, by its description.

What the source replies is put between <information> and </information>. You need not stay with one source: try \
others, and ask several about the same where that helps.

Descriptions of the sources:
{descriptions}

Once nothing is missing, write the answer between <answer> and </answer>, without an explanation, as in \
<answer> Beijing </answer>.

{earlier}Question: {question}
"""
MOST_PAPER_CHARACTERS = 2_400
"""About 600 tokens: where the paper's code cuts an observation."""
WANTED = "write <search> Name: query </search> or <answer> … </answer>."
_TAGS = ("search", "answer", "note")
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)


class RouterR1(Protocol):
    """One message with the descriptions and the question, then one text that grows: what the policy wrote and what it
    was told.

    `continues` says that the server goes on with a last message of the policy's own, as the paper's loop does (vLLM's
    `continue_final_message`); else the text stands at the end of the one message. A mended `<search>` may have our
    attributes `k`, `linked` and `evidence`, and `<note>` is read: this is how policies without a language model say
    what the paper's grammar has no words for. Unmended they can ask one model at a time and answer, and no more.
    """

    name = "router_r1"
    stop = ("</search>", "</answer>")
    thinks = ("<think>", "</think>\n")
    ends = stop

    def __init__(self, mended: bool = True, *, continues: bool = False, most_characters: int = MOST_CHARACTERS) -> None:
        if not mended:
            self.name = f"{self.name}:paper"
        self._mended, self._continues, self._most = mended, continues, most_characters

    def messages(self, view: View) -> list[BaseMessage]:
        """The prompt, and the text so far."""
        prompt = HOW.format(
            names=", ".join(self._names(view)),
            descriptions=self._descriptions(view),
            earlier=f"Said before:\n{said}\n" if (said := earlier(view)) else "",
            question=escape(view.question.strip()),
        )
        text = "".join(self._grown(step) for step in view.steps)
        if self._mended and view.must_answer:
            text += (
                problem(f"You must answer now, because {DUE[view.must_answer]}. Write <answer> … </answer>.") + "\n\n"
            )
        if not text:
            return [human(prompt, view.images)]
        if self._continues:
            return [human(prompt, view.images), AIMessage(text)]
        return [human(f"{prompt}\n{text.strip()}", view.images)]

    def read(self, reply: AIMessage, view: View) -> Reading:
        """What the reply says. Where it must answer, a mended reply without tags is the answer."""
        if not self._mended:
            return _read_as_in_the_code(text_of(reply), view)
        found = scan(text_of(reply), _TAGS)
        actions = [_action(one, view) for one in _counted(found.elements, forced=view.must_answer is not None)]
        return reading(found, actions, view, wanted=WANTED)

    def openings(self, view: View) -> Mapping[str, str]:
        """`<search> NAME:`, or `<answer>`; none unmended, where not all options have words."""
        if not self._mended:
            return {}
        keys = [one["key"] for one in view.legal]
        return {key: "<answer>" if key == "answer" else f"<search> {escape(_name(key, view))}:" for key in keys}

    def write(self, thought: str, actions: Sequence[Action], view: View) -> AIMessage:
        """The reply that reads as these actions, as far as the grammar has words for them."""
        lines = [_written(one, view) if self._mended else _written_as_in_the_code(one) for one in actions]
        said = [line for line in lines if line]
        return AIMessage("\n".join([written("think", thought), *(said if self._mended else said[:1])]))

    def _names(self, view: View) -> list[str]:
        keys = [one["key"] for one in view.menu if one["key"] != "answer"]
        return [_name(key, view) for key in keys if self._mended or key.startswith("llm:")]

    def _descriptions(self, view: View) -> str:
        lines = []
        for option in view.menu:
            key = option["key"]
            if key == "answer" or (not self._mended and not key.startswith("llm:")):
                continue
            away = self._mended and not view.must_answer and key in view.masked
            note = f" (not available now: {view.masked[key]})" if away else ""
            lines.append(escape(f"{_name(key, view)}:{note}\n{' '.join(option['description'].split())}\n"))
        return "\n".join(lines)

    def _grown(self, step: Step) -> str:
        """What a step adds to the text."""
        reply = step.get("reply", "")
        text = _said(reply) if self._mended else _kept(reply)
        actions = [action_from_dict(data) for data in step.get("actions", ())]
        several = sum(isinstance(one, RouteToKB | RouteToLLM) for one in actions) > 1
        for position, action in enumerate(actions):
            observation = step.get("observations", {}).get(str(position))
            if isinstance(action, RouteToKB | RouteToLLM) and observation is not None:
                source = f' from="{escape(action.target)}"' if several else ""
                text += f"\n\n{self._information(observation, source)}"
            elif isinstance(action, Malformed) and self._mended:
                text += f"\n\n{problem(action.problem)}"
        return f"{text}\n\n"

    def _information(self, observation: Observation, source: str) -> str:
        if self._mended:
            status = "" if observation["status"] == "ok" else f"{observation['status']}: "
            said = findings(observation, most=max(0, self._most - len(status)))
            return f"<information{source}>{status}{said}</information>"
        said = findings(observation, most=10 * MOST_PAPER_CHARACTERS) if observation["status"] == "ok" else "None"
        return f"<information>{said}</information>"[:MOST_PAPER_CHARACTERS]


def _name(key: str, view: View) -> str:
    """An option as it is called: a model by its name, as in the paper, where nothing else could be meant."""
    kind, _, name = key.partition(":")
    alone = sum(one["key"].partition(":")[2] == name for one in view.menu) < 2
    return name if kind == "llm" and alone and name.lower() not in ("kb", "llm") else key


def _said(reply: str) -> str:
    """The reply as far as it counts."""
    found = scan(reply, _TAGS)
    counted = _counted(found.elements, forced=False)
    last = counted[-1] if counted else None
    return reply[: last.end] if isinstance(last, Element) and len(counted) < len(found.elements) else found.said


def _counted(elements: Sequence[Element | Malformed], *, forced: bool) -> list[Element | Malformed]:
    """The first, and what follows it without a word between; the answer, where only that is legal."""
    if forced and (answers := [one for one in elements if isinstance(one, Element) and one.tag == "answer"]):
        return list(answers)
    counted = list(elements[:1])
    for one in elements[1:]:
        if isinstance(one, Malformed) or not one.is_next or isinstance(counted[-1], Malformed):
            break
        if (one.tag == "answer") != (counted[-1].tag == "answer"):
            break
        counted.append(one)
    return counted


def _action(element: Element | Malformed, view: View) -> Action:
    if isinstance(element, Malformed):
        return element
    given, body = element.attributes, element.body
    if (said := answer_or_note(element)) is not None:
        return said
    if ":" not in body:
        return Malformed(f"There is no colon in <search> {body[:80]} </search>; write <search> Name: query </search>.")
    name, _, query = body.partition(":")
    if name.strip().lower() in ("kb", "llm") and ":" in query:
        rest, _, longer = query.partition(":")
        if view.option(key := f"{name.strip().lower()}:{rest.strip()}"):
            name, query = key, longer
    name, query = name.strip(), query.strip()
    if name.lower() == "llm-name" or query.lower() == "your-query":
        return Malformed("Put the name of a source and a question of your own in the places of the placeholders.")
    key = key_of(name, view) or ""
    if view.option(key) is None:
        names = ", ".join(_name(one["key"], view) for one in view.legal if one["key"] != "answer")
        return Malformed(f"There is no source {name[:80]!r}; there is {names or 'none now'}.")
    return route_to(key, query, given, view) or Malformed(f"There is no source {name[:80]!r}.")


def _written(action: Action, view: View) -> str:
    match action:
        case RouteToKB(query=query, k=k, linked=linked):
            return written("search", f" {_name(action.target, view)}: {query} ", k=k, linked=linked)
        case RouteToLLM(query=query, evidence=evidence):
            return written("search", f" {_name(action.target, view)}: {query} ", evidence=evidence)
        case Answer(text=text):
            return written("answer", f" {text} ")
        case Note(text=text, enough=enough):
            return written("note", f" {text} ", enough=enough)
    return ""


def _kept(reply: str) -> str:
    """The reply as the code keeps it; with the closing tag that its sampler's stop cut off."""
    for tag in ("</search>", "</answer>"):
        if tag in reply:
            return reply[: reply.index(tag)] + tag
    if "<answer>" in reply:
        return f"{reply}</answer>"
    return f"{reply}</search>" if "<search>" in reply else reply


def _read_as_in_the_code(reply: str, view: View) -> Reading:
    kept = _kept(reply)
    thought = " ".join(one.strip() for one in _THOUGHT.findall(kept, 0, kept.rfind("</think>") + len("</think>")))
    found = min(filter(None, [_first("search", kept), _first("answer", kept)]), default=None)
    if found is None:
        return Reading(thought, (Malformed(f"The reply holds no action; {WANTED}"),))
    _, tag, body = found
    if tag == "answer":
        return Reading(thought, (Answer(body),))
    lowered = body.lower()
    if "llm-name" in lowered or "your-query" in lowered:
        return Reading(thought, (Malformed("The <search> holds a placeholder."),))
    if ":" not in body or not body.split(":")[-1].strip():
        return Reading(thought, (Malformed("The <search> asks nothing."),))
    name, query = body.split(":")[:2]
    return Reading(thought, (RouteToLLM(name.strip(), query.strip()),))


def _first(tag: str, kept: str) -> tuple[int, str, str] | None:
    start = kept.find(f"<{tag}>")
    end = kept.find(f"</{tag}>", start)
    return None if start < 0 or end < 0 else (start, tag, kept[start + len(tag) + 2 : end].strip())


def _written_as_in_the_code(action: Action) -> str:
    match action:
        case RouteToKB(kb=name, query=query) | RouteToLLM(model=name, query=query):
            return f"<search> {name}: {query} </search>"
        case Answer(text=text):
            return f"<answer> {text} </answer>"
    return ""
