"""Scorers of replies: refusal, language, length, format, answers, another model."""
