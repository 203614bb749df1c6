"""Adversarial examples: attacks on a model, defences, and an honest measure of robustness.

Every attack is one plain function with the same head::

    result = attack(model, x, y, eps=..., norm="linf", bounds=(0, 1), targeted=False, seed=0, ...)

and returns an :class:`AttackResult`. The images stay within ball and box also where an attack
fails; success is judged afresh on what is returned; the model, its modes, buffers and gradients,
and the global random numbers are as before; the result of a sample does not depend on the batch it
is in. Normalisation is a layer of the model (:class:`tinyconv.nn.Normalize`): attacks see pixels.
"""

from . import geometry, losses
from .best import Best, Smallest
from .carlini_wagner import carlini_wagner
from .deepfool import deepfool
from .ead import ead
from .fab import fab
from .fgsm import fgsm
from .fmn import fmn
from .isolation import isolated
from .pgd import bim, pgd
from .problem import Problem
from .result import AttackResult
from .running import run

__all__ = [
    "AttackResult",
    "Best",
    "Problem",
    "Smallest",
    "bim",
    "carlini_wagner",
    "deepfool",
    "ead",
    "fab",
    "fgsm",
    "fmn",
    "geometry",
    "isolated",
    "losses",
    "pgd",
    "run",
]
