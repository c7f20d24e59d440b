"""Runs as they happened: recorded, kept in files, read again. Rewards and training live in `router_training`."""
