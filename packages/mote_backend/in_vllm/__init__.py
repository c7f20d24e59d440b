"""The same masks inside vLLM, by its plug-in entry point."""
