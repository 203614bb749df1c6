"""Adversarial examples: attacks on a model, defences, and an honest measure of robustness.

Every attack is one plain function with the same head::

    result = attack(model, x, y, eps=..., norm="linf", bounds=(0, 1), targeted=False, seed=0, ...)

and returns an :class:`AttackResult`. The images stay within ball and box also where an attack
fails; success is judged afresh on what is returned; the model, its modes, buffers and gradients,
and the global random numbers are as before; the result of a sample does not depend on the batch it
is in. Normalisation is a layer of the model (:class:`tinyconv.nn.Normalize`): attacks see pixels.
"""

from . import geometry, losses
from .apgd import apgd
from .at_radius import at_radius
from .best import Best, Smallest
from .ensemble import worst_case, worst_of
from .evaluation import (
    AccuracyCurve,
    TransferMatrix,
    accuracy_curve,
    smallest_eps,
    transfer_matrix,
)
from .fgsm import fgsm
from .isolation import isolated
from .momentum import di_fgsm, mi_fgsm, ni_fgsm, ti_fgsm
from .pgd import bim, pgd
from .problem import Problem
from .result import AttackResult
from .running import run

__all__ = [
    "AccuracyCurve",
    "AttackResult",
    "Best",
    "Problem",
    "Smallest",
    "TransferMatrix",
    "accuracy_curve",
    "apgd",
    "at_radius",
    "bim",
    "di_fgsm",
    "fgsm",
    "geometry",
    "isolated",
    "losses",
    "mi_fgsm",
    "ni_fgsm",
    "pgd",
    "run",
    "smallest_eps",
    "ti_fgsm",
    "transfer_matrix",
    "worst_case",
    "worst_of",
]
