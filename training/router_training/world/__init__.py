"""A small world whose best routes are known, to try out and to test how a policy is learned."""
