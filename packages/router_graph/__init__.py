"""The routing graph: think, ask a knowledge base or a model, answer."""
