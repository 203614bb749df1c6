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
from .auto_attack import auto_attack
from .best import Best, Smallest
from .boundary import boundary
from .carlini_wagner import carlini_wagner
from .deepfool import deepfool
from .distillation import DefensiveDistillation, defensive_distillation, distill
from .ead import ead
from .ensemble import worst_case, worst_of
from .evaluation import AccuracyCurve, TransferMatrix, accuracy_curve, smallest_eps, transfer_matrix
from .fab import fab
from .fgsm import fgsm
from .fmn import fmn
from .hop_skip_jump import hop_skip_jump
from .interval import certified_margin, certified_radius, interval_bounds, interval_loss
from .interval_rules import Interval, interval_rule
from .isolation import isolated
from .jsma import jsma
from .momentum import di_fgsm, mi_fgsm, ni_fgsm, ti_fgsm
from .noise import noise
from .one_pixel import one_pixel
from .patch import PatchResult, patch
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
from .sanity import SanityReport, sanity_report
from .smoothing import Certificates, SmoothedClassifier
from .spatial import spatial
from .spsa import spsa
from .square import square
from .trades import MartTraining, TradesTraining
from .training import AdversarialTrainer
from .training_methods import (
    FastTraining,
    FreeTraining,
    IntervalTraining,
    PGDTraining,
    TrainingMethod,
)
from .universal import UniversalResult, universal
from .zoo import zoo

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
