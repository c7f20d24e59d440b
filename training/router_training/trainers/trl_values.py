"""Values for TRL's arguments, of the types that these have: YAML brings anything, and TRL looks at few of them."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from router_training.errors import ConfigError

_COUNTS = ("per_device_train_batch_size", "gradient_accumulation_steps")
"""By which updates are divided."""


def fitted(kind: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the fields of `kind`, such as `trl.SFTConfig`, take them: "1e-4" is a number for a number.

    Raises `ConfigError` for one of another type, for what is no finite number, and for a count below 1.
    """
    types = typing.get_type_hints(kind)
    made = {key: _value(key, types[key], value) for key, value in given.items()}
    for key in _COUNTS:
        if made.get(key, 1) < 1:
            raise ConfigError(f"trl.{key} is {made[key]}; it must be 1 or more.")
    return made


def _value(key: str, wanted: Any, value: Any) -> Any:
    try:
        return TypeAdapter(wanted, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except PydanticUserError:  # a type that only its library knows
        return value
    except ValidationError as error:
        message = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Input should be ")
        raise ConfigError(f"trl.{key} is {value!r:.60}; it must be {message}.") from None
