"""Learning operators: from samples of noisy or given functions to a network that maps such functions to others.

OperatorProblem ──> DeepONet ──────────> loss ─────────────────> train ──> OperatorSolution
domain, sensors,    branch, trunk,       supervised, SURE, ...   optax     call, errors, plot,
sample, residual    encode and decode    and the residual                  save
"""

from .plan import OperatorPlan, recommend_operator
from .problem import OperatorProblem, Sample
from .solution import OperatorErrors, OperatorSolution
from .solve import solve_operator

__all__ = [
    "OperatorErrors",
    "OperatorPlan",
    "OperatorProblem",
    "OperatorSolution",
    "Sample",
    "recommend_operator",
    "solve_operator",
]
