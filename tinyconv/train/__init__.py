"""Training: the loop, its history, and metrics."""

from .distillation import DistillationTrainer, distillation_loss
from .history import History
from .metrics import ClassReport, ConfusionMatrix
from .trainer import Evaluation, Trainer

__all__ = [
    "ClassReport",
    "ConfusionMatrix",
    "DistillationTrainer",
    "Evaluation",
    "History",
    "Trainer",
    "distillation_loss",
]
