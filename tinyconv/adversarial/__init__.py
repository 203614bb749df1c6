"""Adversarial examples: attacks on a model, defences, and an honest measure of robustness.

Every attack is one plain function with the same head::

    result = attack(model, x, y, eps=..., norm="linf", bounds=(0, 1), targeted=False, seed=0, ...)

and returns an :class:`AttackResult`. The images stay within ball and box also where an attack
fails; success is judged afresh on what is returned; the model, its modes, buffers and gradients,
and the global random numbers are as before; the result of a sample does not depend on the batch it
is in. Normalisation is a layer of the model (:class:`tinyconv.nn.Normalize`): attacks see pixels.
"""

from . import geometry, losses
from .attacks.apgd import apgd
from .attacks.at_radius import at_radius
from .attacks.auto_attack import auto_attack
from .attacks.boundary import boundary
from .attacks.carlini_wagner import carlini_wagner
from .attacks.deepfool import deepfool
from .attacks.ead import ead
from .attacks.ensemble import worst_case, worst_of
from .attacks.fab import fab
from .attacks.fgsm import fgsm
from .attacks.fmn import fmn
from .attacks.hop_skip_jump import hop_skip_jump
from .attacks.jsma import jsma
from .attacks.momentum import di_fgsm, mi_fgsm, ni_fgsm, ti_fgsm
from .attacks.noise import noise
from .attacks.one_pixel import one_pixel
from .attacks.patch import PatchResult, patch
from .attacks.pgd import bim, pgd
from .attacks.spatial import spatial
from .attacks.spsa import spsa
from .attacks.square import square
from .attacks.universal import UniversalResult, universal
from .attacks.zoo import zoo
from .best import Best, Smallest
from .defences.distillation import DefensiveDistillation, defensive_distillation, distill
from .defences.interval import certified_margin, certified_radius, interval_bounds, interval_loss
from .defences.interval_rules import Interval, interval_rule
from .defences.preprocessing import (
    BPDA,
    AdditiveNoise,
    BitDepthReduction,
    GaussianBlur,
    MedianFilter,
    RandomResizePad,
    Transform,
)
from .defences.smoothing import Certificates, SmoothedClassifier
from .defences.trades import MartTraining, TradesTraining
from .defences.training import AdversarialTrainer
from .defences.training_methods import (
    FastTraining,
    FreeTraining,
    IntervalTraining,
    PGDTraining,
    TrainingMethod,
)
from .evaluation.curves import (
    AccuracyCurve,
    TransferMatrix,
    accuracy_curve,
    smallest_eps,
    transfer_matrix,
)
from .evaluation.sandwich import Sandwich, sandwich
from .evaluation.sanity import SanityReport, sanity_report
from .isolation import isolated
from .problem import Problem
from .result import AttackResult
from .running import run

__all__ = [
    "BPDA",
    "AccuracyCurve",
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
    "PatchResult",
    "Problem",
    "RandomResizePad",
    "Sandwich",
    "SanityReport",
    "Smallest",
    "SmoothedClassifier",
    "TradesTraining",
    "TrainingMethod",
    "TransferMatrix",
    "Transform",
    "UniversalResult",
    "accuracy_curve",
    "apgd",
    "at_radius",
    "auto_attack",
    "bim",
    "boundary",
    "carlini_wagner",
    "certified_margin",
    "certified_radius",
    "deepfool",
    "defensive_distillation",
    "di_fgsm",
    "distill",
    "ead",
    "fab",
    "fgsm",
    "fmn",
    "geometry",
    "hop_skip_jump",
    "interval_bounds",
    "interval_loss",
    "interval_rule",
    "isolated",
    "jsma",
    "losses",
    "mi_fgsm",
    "ni_fgsm",
    "noise",
    "one_pixel",
    "patch",
    "pgd",
    "run",
    "sandwich",
    "sanity_report",
    "smallest_eps",
    "spatial",
    "spsa",
    "square",
    "ti_fgsm",
    "transfer_matrix",
    "universal",
    "worst_case",
    "worst_of",
    "zoo",
]
