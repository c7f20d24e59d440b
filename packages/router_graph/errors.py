"""What can go wrong in router_graph: one small tree, each message one sentence that says how to mend it."""

from __future__ import annotations

from collections.abc import Sequence


class RouterError(RuntimeError):
    """Base class of everything that router_graph raises on purpose."""


class BudgetError(RouterError):
    """A budget that cannot be kept: 0, negative, or with an unknown field."""


class BudgetExceededError(RouterError):
    """A call does not fit in what is left of the budget; nothing was sent."""

    field: str | None = None
    """Of `Amount`: what there is too little of."""


class LedgerError(RouterError):
    """The ledger was used against its rules: a reservation settled twice, or a negative amount."""


class CardError(RouterError):
    """A model card, or a file of them, that cannot be used."""


class UnknownPriceError(CardError):
    """Nobody knows what a model costs; the message says how to give a price."""


class UnknownModelError(RouterError, LookupError):
    """No model of this name; the message names the nearest."""


class ModelError(RouterError):
    """A model gave no answer. The classes below say why, and what may be done about it."""

    elsewhere = True
    """Another model may answer where this one failed."""
    again = False
    """The same model may answer later."""

    def __init__(self, message: str, *, billed: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.billed = billed
        """The provider may have worked before it failed, and may charge for it."""
        self.retry_after_s = retry_after_s
        """Seconds that the provider asked us to wait."""


class RateLimitedError(ModelError):
    """Too many requests (HTTP 429)."""

    again = True


class ModelTimeoutError(ModelError):
    """No reply within the card's `timeout_s`."""

    again = True


class ModelConnectionError(ModelError):
    """The provider could not be reached, or hung up before the reply was whole."""

    again = True


class ModelServerError(ModelError):
    """The provider failed (HTTP 5xx)."""

    again = True


class ModelRestingError(ModelError):
    """The model's last calls failed, so that nobody asks it for a while."""

    again = True


class MalformedReplyError(ModelError):
    """The provider answered with something that is no reply."""

    again = True


class ReplyTooLongError(ModelError):
    """The reply is far longer than `max_tokens` allows."""


class AuthenticationError(ModelError):
    """A key is missing or refused; the message names its variable, never its value."""


class ModelNotFoundError(ModelError):
    """The provider does not have this model."""


class ContextTooLongError(ModelError):
    """The messages are longer than the model's context."""


class ContentRefusedError(ModelError):
    """The provider's content filter refused the messages or the reply."""


class RequestRejectedError(ModelError):
    """The provider calls the request wrong; another model would too."""

    elsewhere = False


class UnrecordedError(ModelError):
    """Replay has no recorded reply of this model to this question; it never guesses one."""


class AllModelsFailedError(ModelError):
    """Every model of the chain failed; `failures` has each one's error in order."""

    def __init__(self, message: str, failures: Sequence[RouterError]) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class MissingExtraError(RouterError, ImportError):
    """A part of the package needs an extra that is not installed; the message gives the pip line."""


class KnowledgeError(RouterError):
    """A knowledge base that cannot be used."""


class SettingsError(RouterError):
    """A setting of the graph that cannot be used: an unknown name, a limit of 0, a key that is misspelt."""


class QuestionError(RouterError):
    """A question that cannot be asked: empty, too long, or with a picture that is none."""


class EvaluationError(RouterError):
    """An evaluation that cannot be made: files that are missing, results of another set-up, a policy that has seen the
    questions."""
