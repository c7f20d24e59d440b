"""What can be wrong, each as one sentence: what was given, and what would be right."""

from __future__ import annotations


class TrainingError(Exception):
    """Of this package."""


class DataError(TrainingError, ValueError):
    """The log, or the questions, cannot be learned from as asked."""


class ConfigError(TrainingError, ValueError):
    """A setting is wrong, or does not go with another."""


class TokensError(DataError):
    """Recorded tokens do not belong to this model or tokenizer."""
