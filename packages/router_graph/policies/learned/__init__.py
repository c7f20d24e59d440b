"""Policies without weights that are learned from the logs of runs: a few dozen are enough."""

from router_graph.policies.learned.competence import ByCompetence, Estimate
from router_graph.policies.learned.decided import Decided, Rewards, decided
from router_graph.policies.learned.fitting import fit_gate, fit_handbook, fit_knn
from router_graph.policies.learned.handbook import Handbook
from router_graph.policies.learned.knn import Knn
from router_graph.policies.learned.saved import load, save

__all__ = [
    "ByCompetence",
    "Decided",
    "Estimate",
    "Handbook",
    "Knn",
    "Rewards",
    "decided",
    "fit_gate",
    "fit_handbook",
    "fit_knn",
    "load",
    "save",
]
