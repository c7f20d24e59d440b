"""Real parts that the tests and the benchmarks share."""
