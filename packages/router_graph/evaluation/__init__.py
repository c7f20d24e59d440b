"""Metrics that score answers; the metric that scores is the metric that rewards."""
