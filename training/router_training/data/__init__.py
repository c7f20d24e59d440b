"""From logs to what a trainer takes."""
