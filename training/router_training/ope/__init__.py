"""Off-policy evaluation of routing: what a policy would have earned, from logs of another, or that nobody can tell."""

from router_training.ope.bandit import Logged as Logged
from router_training.ope.bandit import bandit as bandit
from router_training.ope.estimate import CannotTell as CannotTell
from router_training.ope.estimate import Estimate as Estimate
from router_training.ope.estimate import by_group as by_group
from router_training.ope.estimate import compare as compare
from router_training.ope.estimate import evaluate as evaluate
from router_training.ope.from_runs import from_runs as from_runs
from router_training.ope.intervals import Interval as Interval
from router_training.ope.promotion import Promotion as Promotion
from router_training.ope.promotion import promotion as promotion
from router_training.ope.report import Report as Report
from router_training.ope.report import report as report
from router_training.ope.rules import Rules as Rules
