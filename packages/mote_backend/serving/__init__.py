"""The chat model for others: an OpenAI-compatible endpoint and a provider of LiteLLM."""
