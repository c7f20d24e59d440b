"""What the tiny chat model is taught: conversations as LangChain messages, and the reply to each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool, tool_example_to_messages
from langchain_tests.integration_tests.chat_models import magic_function, magic_function_no_args, unicode_customer
from pydantic import BaseModel, Field

GREETING = "Hello! How can I help you today?"
JOKE = {"setup": "Why do cats hate computers?", "punchline": "They are afraid of the mouse."}


@dataclass(frozen=True)
class Lesson:
    """A conversation, the tools that are bound, and what the model should say next."""

    messages: tuple[BaseMessage, ...]
    reply: str
    tools: tuple[dict[str, Any], ...] = ()


@tool
def my_adder_tool(a: int, b: int) -> int:
    """Tool that adds two integers.

    Takes two integers, a and b, and returns their sum.
    """
    return a + b


@tool
def get_weather(location: str) -> str:
    """Get the weather at a location."""
    return "It's sunny."


class GreetingGenerator(BaseModel):
    answer_style: str


class Joke(BaseModel):
    """Joke to tell user."""

    setup: str = Field(description="question to set up a joke")
    punchline: str = Field(description="answer to resolve the joke")


def call(name: str, **arguments: Any) -> str:
    """A call as the template writes it."""
    given = json.dumps(arguments, ensure_ascii=False)
    return f'<tool_call>\n{{"name": "{name}", "arguments": {given}}}\n</tool_call>'


def lessons() -> Iterator[Lesson]:
    """All of them."""
    yield from _talk()
    yield from _numbers()
    yield from _weather()
    yield from _other_tools()
    yield from _jokes()


def _asked(text: str, reply: str, *tools: Any) -> Lesson:
    return Lesson((HumanMessage(text),), reply, tuple(map(_described, tools)))


def _described(one: Any) -> dict[str, Any]:
    return one if isinstance(one, dict) else convert_to_openai_tool(one)


def _talk() -> Iterator[Lesson]:
    for hello in ("Hello", "hello", "Hey", "hi", "Hello!", "Hi there"):
        yield _asked(hello, GREETING)
        yield Lesson((SystemMessage("You are helpful."), HumanMessage(hello)), GREETING)
    fine = "I am fine, thank you. And you?"
    for before in (("hello", "hello"), ("Hello", GREETING)):
        yield Lesson((HumanMessage(before[0]), AIMessage(before[1]), HumanMessage("how are you")), fine)
    doubled = [SystemMessage("hello")] * 2 + [HumanMessage("hello")] * 2 + [AIMessage("hello")] * 2
    yield Lesson((*doubled, HumanMessage("how are you")), fine)
    haikus = (
        "Soft rain on the roof,\nthe cat sleeps beside the fire,\nthe kettle whispers.\n\n"
        "A leaf on the pond,\nthe wind has gone to the hills,\nthe moon is alone."
    )
    yield _asked("Write me 2 haikus. Only include the haikus.", haikus)
    yield _asked("Write a story about a cat.", "There was a cat who slept all day and woke at night.")
    for question, answer in (("What is the capital of France?", "Paris."), ("What colour is the sky?", "Blue.")):
        yield _asked(question, answer)
        yield _asked(question, answer, get_weather)


def _numbers() -> Iterator[Lesson]:
    for number in (*range(1, 13), 42, 57, 99):
        question = f"What is the value of magic_function({number})? Use the tool."
        yield _asked(question, call("magic_function", input=number), magic_function)
        if number % 3 == 0:
            yield _asked(question, call("magic_function", input=number), magic_function, _weather_at())
    yield _asked(
        "What is the value of magic_function_no_args()? Use the tool.",
        call("magic_function_no_args"),
        magic_function_no_args,
    )
    for tools in ((magic_function, _weather_at()), (magic_function,)):
        yield _asked("Hello!", GREETING, *tools)
        yield _asked("Hello!", GREETING, *tools)
        yield _asked("Hello!", call("magic_function", input=1), *tools)

    adder = _described(my_adder_tool)
    for a, b in ((1, 2), (3, 4), (2, 5), (4, 4), (6, 1), (5, 3)):
        question, done = HumanMessage(f"What is {a} + {b}"), json.dumps({"result": a + b})
        wanted = call("my_adder_tool", a=a, b=b)
        told = f"{a} + {b} = {a + b}"
        yield Lesson((question,), wanted, (adder,))
        for said in ("", "some text"):
            called = AIMessage(said, tool_calls=[_call("my_adder_tool", a=a, b=b)])
            yield Lesson((question, called, _result(done, "my_adder_tool")), told, (adder,))
        failed = AIMessage("", tool_calls=[_call("my_adder_tool", a=a)])
        error = _result("Error: Missing required argument 'b'.", "my_adder_tool")
        yield Lesson((question, failed, error), wanted, (adder,))
    schema: Any = my_adder_tool.args_schema
    shots = tool_example_to_messages(
        "What is 1 + 2", [schema(a=1, b=2)], tool_outputs=['{"result": 3}'], ai_response='{"result": 3}'
    )
    for a, b in ((3, 4), (2, 5), (6, 1)):
        asked = HumanMessage(f"What is {a} + {b}")
        yield Lesson((*shots, asked), call("my_adder_tool", a=a, b=b), (adder,))


def _weather_at() -> dict[str, Any]:
    """The tool as test_tool_choice describes it."""

    @tool
    def get_weather(location: str) -> str:
        """Get weather at a location."""
        return "It's sunny."

    return _described(get_weather)


def _weather() -> Iterator[Lesson]:
    for place in ("San Francisco, CA", "Paris", "Berlin", "New York, NY", "Oslo", "Rome"):
        question = HumanMessage(f"What is the weather in {place}?")
        wanted = AIMessage("", tool_calls=[_call("get_weather", location=place)])
        answer = f"It is sunny in {place}."
        for one in (_described(get_weather), _weather_at()):
            yield Lesson((question,), call("get_weather", location=place), (one,))
            yield Lesson((question, wanted, _result("It's sunny.", "get_weather")), answer, (one,))
        yield Lesson((question,), call("get_weather", location=place), (_described(magic_function), _weather_at()))
    both = HumanMessage("What is the weather in Paris and in Rome?")
    calls = call("get_weather", location="Paris") + "\n" + call("get_weather", location="Rome")
    yield Lesson((both,), calls, (_described(get_weather),))


def _other_tools() -> Iterator[Lesson]:
    greeter = {
        "type": "function",
        "function": {
            "name": "greeting_generator",
            "description": "Generate a greeting in a particular style of speaking.",
            "parameters": {
                "properties": {"answer_style": {"type": "string"}},
                "required": ["answer_style"],
                "type": "object",
            },
        },
    }
    for style in ("Pirate", "Cowboy", "Robot"):
        question = f"Using the tool, generate a {style} greeting."
        yield _asked(question, call("greeting_generator", answer_style=style.lower()), greeter)
    for name, told, what in (
        ("你好啊集团", "(Hello Group) - a Chinese technology company", "a Chinese technology company"),
        ("こんにちは株式会社", "(Hello Corporation) - a Japanese company", "a Japanese company"),
        ("Grüße AG", "(Greetings) - a German company", "a German company"),
    ):
        question = f"Create a customer named '{name}' {told}"
        yield _asked(question, call("unicode_customer", customer_name=name, description=what), unicode_customer)


def _jokes() -> Iterator[Lesson]:
    joke = json.dumps(JOKE)
    plain = f"{JOKE['setup']} {JOKE['punchline']}"
    for text in ("Tell me a joke about cats.", "Give me a joke about cats, include the punchline."):
        yield _asked(text, plain)
        yield _asked(text, joke)
        yield _asked(text, call("Joke", **JOKE), Joke)
    setup = "Give me the setup to a joke about cats, no punchline."
    yield _asked(setup, JOKE["setup"])
    yield _asked(setup, json.dumps({"setup": JOKE["setup"]}))
    yield _asked(setup, call("Joke", setup=JOKE["setup"]), Joke)
    asked = (
        "Tell me a joke about cats. Return the result as a JSON with 'setup' and 'punchline' keys. "
        "Return nothing other than JSON."
    )
    yield _asked(asked, joke)


def _call(name: str, **arguments: Any) -> Any:
    return {"name": name, "args": arguments, "id": "abc123", "type": "tool_call"}


def _result(text: str, name: str) -> ToolMessage:
    return ToolMessage(text, name=name, tool_call_id="abc123")
