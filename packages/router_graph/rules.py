"""Who may never meet: hard rules about which model sees what, enforced outside the policy."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from router_graph.errors import SettingsError
from router_graph.pool.card import ModelCard, Privacy
from router_graph.pool.pool import ModelPool
from router_graph.validation import Settings


class Exclusion(Settings):
    """What these knowledge bases hold never reaches these models: not as evidence, and not by way of a policy that has
    read it. Raises `SettingsError`."""

    mistake = SettingsError

    knowledge_bases: list[str] = Field(min_length=1)
    models: list[str] = Field(default_factory=list)
    """By name."""
    privacy: list[Privacy] = Field(default_factory=list)
    """All models whose card says one of these."""

    def problem(self) -> str | None:
        """What is wrong between fields, if anything."""
        if not self.models and not self.privacy:
            return "an exclusion needs 'models' or 'privacy': whom the knowledge bases must not meet."
        return None


class Rules:
    """All exclusions of a graph."""

    def __init__(self, exclusions: Iterable[Exclusion], *, knowledge: Iterable[str], pool: ModelPool | None) -> None:
        self._exclusions = tuple(exclusions)
        known_kbs, known_models = set(knowledge), set(pool.cards) if pool else set()
        for one in self._exclusions:
            for what, names, known in (
                ("knowledge base", one.knowledge_bases, known_kbs),
                ("model", one.models, known_models),
            ):
                for name in names:
                    if name not in known:
                        listed = ", ".join(sorted(known)) or "none"
                        raise SettingsError(f"An exclusion names the {what} {name!r}; there is {listed}.")

    @property
    def kept_apart(self) -> list[str]:
        """The knowledge bases that some model must not meet."""
        return sorted({kb for one in self._exclusions for kb in one.knowledge_bases})

    def against_model(self, card: ModelCard, met: Iterable[str]) -> str | None:
        """Why a model may not be sent anything where these knowledge bases were met, or None."""
        kbs = self._kept_from(card)
        for kb in sorted(set(met)):
            if kb in kbs:
                return f"what {kb!r} holds must not reach it"
        return None

    def against_kb(self, kb: str, reader: ModelCard | None) -> str | None:
        """Why a knowledge base may not be asked where this model reads what it says, or None."""
        if reader is not None and kb in self._kept_from(reader):
            return f"the policy asks {reader.name!r}, which must not see what it holds"
        return None

    def _kept_from(self, card: ModelCard) -> set[str]:
        return {
            kb
            for one in self._exclusions
            if card.name in one.models or card.privacy in one.privacy
            for kb in one.knowledge_bases
        }
