"""Training: the loop, its history, and metrics."""

from .history import History
from .metrics import ClassReport, ConfusionMatrix
from .trainer import Evaluation, Trainer

__all__ = ["ClassReport", "ConfusionMatrix", "Evaluation", "History", "Trainer"]
