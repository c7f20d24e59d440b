"""Which of the actions that were taken from one state did better than the others, and by how much."""
