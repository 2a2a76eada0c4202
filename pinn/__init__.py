"""pinn: write a differential equation as mathematics, solve it with one call, and know how wrong the answer is.

    import pinn
    from pinn import d

    line = pinn.Interval(x=(0, 5))
    problem = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, x: d(y, x, x) + d(y, x) + y,
        conditions=[pinn.Dirichlet(y=1.0, on=line.at(x=0)), pinn.Dirichlet(y=0.0, on=line.at(x=5))],
    )
    solution = pinn.solve(problem)

Importing pinn turns 64-bit floats on in JAX; the environment variable JAX_ENABLE_X64=0 keeps them off. It also has XLA compile
for CPUs without its fusion emitters, which takes two thirds of the time for code that runs as fast (twice the time for networks
of twenty layers); what XLA_FLAGS says of `xla_cpu_use_fusion_emitters` wins.
"""

import os

import jax
import jaxlib.version

if os.environ.get("JAX_ENABLE_X64", "1").lower() not in ("0", "false"):
    jax.config.update("jax_enable_x64", True)

# A flag that XLA does not know ends the process, so that only versions in which it was tried get it.
if jaxlib.version.__version_info__[:2] == (0, 10) and "xla_cpu_use_fusion_emitters" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()

from .bound import Bound
from .branches import ConvBranch, DenseBranch, Layout, Seen, SetBranch
from .chain import ChainOperator
from .check import Report, check
from .conditions import Condition, Data, Dirichlet, Initial, InitialVelocity, Neumann, Periodic, Robin
from .deeponet import DeepONet, Harmonics, LocalDeepONet, ModifiedDeepONet, OperatorNetwork, PODTrunk
from .defaults import Plan, recommend
from .derivatives import gaussian, gelu, nested_grad, nested_jvp, relu, sigmoid, silu, sin, softplus, tanh, taylor
from .diagnosis import Diagnosis, LayerDiagnosis, diagnose
from .domains import Ball, Box, Disk, Domain, Interval
from .errors import AccuracyWarning, CheckpointWarning, PinnError, PinnWarning, ProblemWarning, WellPosednessWarning
from .estimate import Trust
from .expression import apply
from .history import Status
from .integrals import Integral
from .loading import load
from .methods.gauss_newton import gauss_newton
from .methods.ssbroyden import ssbroyden
from .networks import MLP, ModifiedMLP, ResidualMLP, glorot, he, zeros
from .operator_learning import OperatorErrors, OperatorProblem, OperatorSolution, Sample
from .operators import at, curl, d, div, grad, integral, laplacian
from .phases import Phase
from .plane import Ellipse, Polygon
from .problem import Parameter, Problem
from .regions import Interface
from .ridge import RidgeBranch
from .solution import Solution
from .solve import solve
from .values import Points
from .wellposed import Stability, stability

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "AccuracyWarning",
    "Ball",
    "Bound",
    "Box",
    "ChainOperator",
    "CheckpointWarning",
    "Condition",
    "ConvBranch",
    "Data",
    "DeepONet",
    "DenseBranch",
    "Diagnosis",
    "Dirichlet",
    "Disk",
    "Domain",
    "Ellipse",
    "Harmonics",
    "Initial",
    "InitialVelocity",
    "Integral",
    "Interface",
    "Interval",
    "LayerDiagnosis",
    "Layout",
    "LocalDeepONet",
    "ModifiedDeepONet",
    "ModifiedMLP",
    "Neumann",
    "OperatorErrors",
    "OperatorNetwork",
    "OperatorProblem",
    "OperatorSolution",
    "PODTrunk",
    "Parameter",
    "Periodic",
    "Phase",
    "PinnError",
    "PinnWarning",
    "Plan",
    "Points",
    "Polygon",
    "Problem",
    "ProblemWarning",
    "Report",
    "ResidualMLP",
    "RidgeBranch",
    "Robin",
    "Sample",
    "Seen",
    "SetBranch",
    "Solution",
    "Stability",
    "Status",
    "Trust",
    "WellPosednessWarning",
    "apply",
    "at",
    "check",
    "curl",
    "d",
    "diagnose",
    "div",
    "gauss_newton",
    "gaussian",
    "gelu",
    "glorot",
    "grad",
    "he",
    "integral",
    "laplacian",
    "load",
    "nested_grad",
    "nested_jvp",
    "recommend",
    "relu",
    "sigmoid",
    "silu",
    "sin",
    "softplus",
    "solve",
    "ssbroyden",
    "stability",
    "tanh",
    "taylor",
    "zeros",
]
