"""Runs in the forms that other tools read."""

from __future__ import annotations

from router_graph.trajectories.export.exporting import FORMS, Exported, Form, export

__all__ = ["FORMS", "Exported", "Form", "export"]
