"""What can go wrong in mote_backend: one small tree, each message one sentence that says how to mend it."""


class MoTEError(Exception):
    """Base class of everything that mote_backend raises on purpose."""


class InputError(MoTEError, ValueError):
    """An argument that cannot be used."""

    status_code = 400
    """Of HTTP, for those who sort errors by it: the request was wrong, not the model."""


class MaskError(InputError):
    """A mask that contradicts itself, or does not fit the model it is applied to."""


class PromptError(InputError):
    """A prompt, a set of prompts, or a template for them that cannot be used."""


class ContextLengthError(PromptError):
    """A prompt that leaves no room for a reply in the model's context."""

    code = "context_length_exceeded"
    """OpenAI's word for it, which clients sort by."""


class SchemaError(InputError):
    """A JSON schema, a pattern or a tool that decoding cannot be held to."""


class UnsupportedModelError(MoTEError):
    """A model whose experts cannot be masked; the message says why."""


class ModelLoadError(MoTEError):
    """A model or tokenizer that cannot be loaded."""


class MaskNotAllowedError(MoTEError):
    """A mask that this deployment does not allow; the message names those it does."""

    status_code = 400


class EngineClosedError(MoTEError):
    """The engine was closed before the request was answered."""


class MissingExtraError(MoTEError, ImportError):
    """A part of the package needs an extra that is not installed; the message gives the pip line."""


def shown(value: object, most: int = 100) -> str:
    """A value in a message: as Python writes it, cut where it goes on and on."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
