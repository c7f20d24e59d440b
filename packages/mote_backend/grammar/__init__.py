"""Decoding held to a grammar or a JSON schema, by llguidance."""
