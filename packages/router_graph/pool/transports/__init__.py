"""The ways in which a request reaches a model."""
