"""Settings that people write: strict models whose mistakes read as one sentence."""

from __future__ import annotations

import difflib
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from router_graph.errors import RouterError


class Settings(BaseModel):
    """A frozen model that knows all its keys. A mistake raises `mistake` with one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mistake: ClassVar[type[RouterError]] = RouterError
    """What a mistake raises."""

    @model_validator(mode="wrap")
    @classmethod
    def _in_a_sentence(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            made = handler(data)
        except RouterError as error:  # of settings within these
            raise cls.mistake(cls.named(data, str(error))) from None
        except ValidationError as error:
            raise cls.mistake(cls.named(data, _in_words(error, list(cls.model_fields)))) from None
        if problem := made.problem():
            raise cls.mistake(cls.named(data, problem))
        return made

    @classmethod
    def named(cls, data: Any, problem: str) -> str:
        """The problem, with a word on whose it is."""
        return problem

    def problem(self) -> str | None:
        """What is wrong between fields, if anything."""
        return None


def _in_words(error: ValidationError, known: list[str]) -> str:
    # A key that is not known often is the one that is missing, misspelt.
    problem = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in problem["loc"])
    given = problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            if len(problem["loc"]) > 1:
                known = []  # those of the outer model would mislead
            near = difflib.get_close_matches(where.rsplit(".", 1)[-1], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}." if known else ""
            return f"{where!r} is no known key; {hint}".removesuffix("; ") + ("" if hint else ".")
        case "missing":
            return f"{where!r} is missing."
        case "model_type":
            return f"{where or 'it'} is {_shown(given)}; it must hold keys and values."
        case "value_error" | "assertion_error":
            reason = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return f"{where}: {reason}" if where else reason
    wanted = problem["msg"].replace("Input should be", "it must be", 1)
    return f"{where or 'it'} is {_shown(given)}; {wanted}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
