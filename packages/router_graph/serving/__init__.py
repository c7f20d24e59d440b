"""The router as a model for any OpenAI client: `polyroute serve`."""
