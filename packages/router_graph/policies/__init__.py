"""Who decides: policies without a language model, and any chat model as one."""

from router_graph.policies.named import POLICIES, policy_named
from router_graph.policies.policy import Act, Choice, ChoicePolicy, Means, Policy

__all__ = ["POLICIES", "Act", "Choice", "ChoicePolicy", "Means", "Policy", "policy_named"]
