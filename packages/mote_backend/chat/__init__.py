"""Chat models on transformers: one engine, a mask for each call."""
