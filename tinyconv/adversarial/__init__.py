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
from .distillation import DefensiveDistillation, defensive_distillation, distill
from .fgsm import fgsm
from .interval import certified_margin, certified_radius, interval_bounds, interval_loss
from .interval_rules import Interval, interval_rule
from .isolation import isolated
from .pgd import bim, pgd
from .preprocessing import (
    BPDA,
    AdditiveNoise,
    BitDepthReduction,
    GaussianBlur,
    MedianFilter,
    RandomResizePad,
    Transform,
)
from .problem import Problem
from .result import AttackResult
from .running import run
from .smoothing import Certificates, SmoothedClassifier
from .trades import MartTraining, TradesTraining
from .training import AdversarialTrainer
from .training_methods import (
    FastTraining,
    FreeTraining,
    IntervalTraining,
    PGDTraining,
    TrainingMethod,
)

__all__ = [
    "BPDA",
    "AdditiveNoise",
    "AdversarialTrainer",
    "AttackResult",
    "Best",
    "BitDepthReduction",
    "Certificates",
    "DefensiveDistillation",
    "FastTraining",
    "FreeTraining",
    "GaussianBlur",
    "Interval",
    "IntervalTraining",
    "MartTraining",
    "MedianFilter",
    "PGDTraining",
    "Problem",
    "RandomResizePad",
    "Smallest",
    "SmoothedClassifier",
    "TradesTraining",
    "TrainingMethod",
    "Transform",
    "bim",
    "certified_margin",
    "certified_radius",
    "defensive_distillation",
    "distill",
    "fgsm",
    "geometry",
    "interval_bounds",
    "interval_loss",
    "interval_rule",
    "isolated",
    "losses",
    "pgd",
    "run",
]
