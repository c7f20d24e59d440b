"""What pydantic found wrong, as one sentence of ours."""

from __future__ import annotations

from pydantic import ValidationError

from mote_backend.errors import InputError, MoTEError


def refusal(error: ValidationError) -> MoTEError:
    """The first thing that is wrong: our own error where a validator raised one, else an InputError."""
    first = error.errors(include_url=False)[0]
    ours = first.get("ctx", {}).get("error")
    if isinstance(ours, MoTEError):
        return ours
    name = ".".join(map(str, first["loc"])) or error.title
    if first["type"] == "extra_forbidden":
        return InputError(f"{name!r} is no option of {error.title}.")
    if first["type"] == "missing":
        return InputError(f"{error.title} needs {name!r}.")
    told = first["msg"].removeprefix("Value error, ")
    return InputError(f"{name} is {first['input']!r}: {told[:1].lower()}{told[1:]}.")
