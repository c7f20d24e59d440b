"""A cascade over models: cheap ones first, others only where the replies so far are not sure enough.

`fitting.fit_cascade` fits one on recorded replies; it alone needs numpy.
"""

from router_graph.policies.cascade.cascade import Cascade
from router_graph.policies.cascade.chain import chain_of, price_chain
from router_graph.policies.cascade.fitted import SHIPPED, Fitted, load, save
from router_graph.policies.cascade.reader import Read, Reader

__all__ = ["SHIPPED", "Cascade", "Fitted", "Read", "Reader", "chain_of", "load", "price_chain", "save"]
