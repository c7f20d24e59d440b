"""Tool calls in whatever syntax a chat template shows."""
