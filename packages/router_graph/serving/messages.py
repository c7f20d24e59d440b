"""The messages of a request: the question, its pictures, and what was said before. All of it is data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from router_graph.errors import QuestionError
from router_graph.nodes.begin import MET, MOST_EARLIER


class TextPart(BaseModel):
    """A part of a message that is text."""

    model_config = ConfigDict(strict=True)

    type: Literal["text"]
    text: str


def _carried(url: str) -> str:
    if not url[:5].lower() == "data:":
        raise PydanticCustomError("image", "a picture is sent along, as in data:image/png;base64,…, and not fetched")
    return url


class ImageURL(BaseModel):
    """Where a picture is: in the URL itself."""

    model_config = ConfigDict(strict=True)

    url: Annotated[str, AfterValidator(_carried), Field(json_schema_extra={"pattern": "^data:image/.+;base64,"})]
    """`data:image/…;base64,…`: the server fetches no address for a client."""
    detail: Literal["auto", "low", "high"] = "auto"
    """Of no effect."""


class ImagePart(BaseModel):
    """A part of a message that is a picture."""

    model_config = ConfigDict(strict=True)

    type: Literal["image_url"]
    image_url: ImageURL


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(BaseModel):
    """What was said. `tool` is no role here, as the router calls no tools of a client."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(json_schema_extra={"pattern": r"\S"})] | list[Part] | None = None
    """Only the assistant's may be left out."""
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    function_call: None = None

    @property
    def text(self) -> str:
        """Its text, the parts one below the other."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if isinstance(part, TextPart))

    @property
    def images(self) -> list[str]:
        """Its pictures, each a data URL."""
        parts = self.content if isinstance(self.content, list) else []
        return [part.image_url.url for part in parts if isinstance(part, ImagePart)]


@dataclass(frozen=True)
class Said:
    """A conversation, of which the last words are the question."""

    question: str
    images: tuple[str, ...]
    earlier: tuple[tuple[str, str], ...]
    """(role, text) of the messages before it, the role "user" or "assistant"."""
    told: str
    """What the system messages say."""

    def messages(self, *, met: Sequence[str]) -> list[BaseMessage]:
        """As the graph takes it; `met` are the knowledge bases whose text may stand in what the assistant said.

        A system message is something said before: policies that are language models read it.
        """
        about = {MET: list(met)}
        spoken: list[BaseMessage] = [
            HumanMessage(text) if role == "user" else AIMessage(text, response_metadata=about)
            for role, text in self.earlier
        ]
        if self.told:
            spoken = [HumanMessage(self.told), *spoken[1 - MOST_EARLIER :]]
        return [*spoken, self.last]

    @property
    def last(self) -> HumanMessage:
        """The question as a message."""
        if not self.images:
            return HumanMessage(self.question)
        pictures: list[str | dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in self.images]
        return HumanMessage([{"type": "text", "text": self.question}, *pictures])


def said_in(messages: Sequence[Message]) -> Said:
    """The conversation. Raises `QuestionError` where it does not end with a question."""
    *before, last = messages
    if last.role != "user":
        raise QuestionError(f"The last message is of the role {last.role!r}; it must be the question of the user.")
    for at, one in enumerate(messages):
        if one.content is None and one.role != "assistant":
            raise QuestionError(f"messages[{at}] has no content; it is a text, or a list of parts with a type.")
        if one.images and one.role != "user":
            raise QuestionError(
                f"messages[{at}] is of the role {one.role!r} and holds a picture; the user gives those."
            )
    if not last.text.strip():
        raise QuestionError("The question is empty; ask something.")
    spoken = [one for one in before if one.role in ("user", "assistant") and one.text.strip()]
    told = [one.text for one in before if one.role in ("system", "developer") and one.text.strip()]
    return Said(
        question=last.text,
        images=tuple(last.images),
        earlier=tuple((one.role, one.text) for one in spoken),
        told="\n\n".join(told),
    )
