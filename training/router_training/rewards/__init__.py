"""What a run, and each of its steps, was worth: a pass over the log that comes later and never changes it."""
