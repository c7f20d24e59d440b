"""Train a routing policy from the logs of ordinary graph runs."""
