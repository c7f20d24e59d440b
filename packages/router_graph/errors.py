"""What can go wrong in router_graph: one small tree, each message one sentence that says how to mend it."""


class RouterError(Exception):
    """Base class of everything that router_graph raises on purpose."""


class BudgetExceededError(RouterError):
    """A call does not fit in what is left of the budget; nothing was sent."""


class LedgerError(RouterError):
    """The ledger was used against its rules: a reservation settled twice, or a negative amount."""
