"""A model with switchable experts that runs in this process, as people write it down under `mote:`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from router_graph.errors import CardError
from router_graph.validation import Settings

PROVIDER = "mote/"
"""What a card's `model` begins with: "mote/NAME" is the model that `mote:` calls NAME."""


class LocalModel(Settings):
    """A Mixture-of-Experts model, and the masks that cards may name. Raises `CardError`.

    The keys are those of `polyroute mote serve`.
    """

    mistake = CardError
    model_config = ConfigDict(use_attribute_docstrings=True, title="A model with switchable experts")

    model: str = Field(min_length=1)
    """A folder, relative to the file; a name on the hub; or one that comes along: `planted`, `planted:bilingual`."""
    masks: str | None = None
    """A folder of masks (`*.json`), relative to the file."""
    only_named: bool = False
    """Allow no mask but those of `masks`."""
    dtype: str = "auto"
    """A torch dtype such as bfloat16; `auto`: the checkpoint's own."""
    device: str | None = None
    """Such as cpu or cuda:1; `auto`: spread over all there is; left out: a GPU if there is one."""
    max_batch: int = Field(default=32, ge=1)
    """Most calls that run together."""
    trust_remote_code: bool = False
    """Let code that comes with the model run."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""


def _by_name(told: Any) -> Any:
    """Each in its long form, its mistakes with its name before them."""
    if not isinstance(told, dict):
        return told
    read: dict[Any, Any] = {}
    for name, one in told.items():
        if not isinstance(one, str | dict | LocalModel):
            raise CardError(
                f"mote: {name}: it is {one!r}; it must be a folder, a name on the hub, or keys as `model:`."
            )
        try:
            read[name] = LocalModel.model_validate({"model": one} if isinstance(one, str) else one)
        except CardError as error:
            raise CardError(f"mote: {name}: {error}") from None
    return read


LocalModels = Annotated[
    dict[str, LocalModel], BeforeValidator(_by_name, json_schema_input_type=dict[str, str | LocalModel])
]
"""By the name that cards call them; the `model` alone may stand for all of it."""
