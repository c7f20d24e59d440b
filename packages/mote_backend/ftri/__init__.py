"""Functional Token Resonance Imaging: the experts behind a behaviour, found from what is routed where."""
