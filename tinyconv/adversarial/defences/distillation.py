"""Defensive distillation: a student that learns the soft labels of its own kind, at a temperature.

At temperature 1, where it is used, such a student has logits so large that the gradient of its
cross-entropy vanishes in float32: attacks that follow that gradient fail, and others do not
(Carlini and Wagner, 2017, arXiv 1608.04644). It is a defence to learn from, not to rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...nn import Module
from ...nn import functional as F
from ...ops.losses._losses import check_temperature
from ...optim import Adam, Optimizer
from ...train import DistillationTrainer, History, Trainer

#: Makes an optimizer of parameters.
MakeOptimizer = Callable[[Any], Optimizer]


class _AtTemperature(Trainer):
    """Trains on the true classes with the logits over a temperature; evaluates at temperature 1."""

    temperature: float

    def batch_loss(self, images: Any, target: Any) -> tuple[Any, Any]:
        logits = self.model(images)
        return F.cross_entropy(logits / self.temperature, target), logits


def distill(
    teacher: Module,
    student: Module,
    loader: Any,
    *,
    temperature: float,
    epochs: int,
    optimizer: MakeOptimizer = Adam,
    validation: Any = None,
    num_classes: int = 10,
    device: Any = None,
) -> History:
    """Train a student on the soft labels of a teacher, both at a temperature.

    Papernot et al. (2016), "Distillation as a defense to adversarial perturbations against deep
    neural networks", arXiv 1511.04508. The loss is the cross-entropy of
    ``softmax(student / T)`` against ``softmax(teacher / T)``, without a factor ``T**2`` and without
    the true classes; the student is then used at temperature 1. For distillation as compression,
    with both, see :class:`tinyconv.train.DistillationTrainer`.

    Parameters
    ----------
    teacher : Module
        Trained at the same temperature. It is in eval mode while it is asked, and learns nothing.
    student : Module
        Is trained; in the paper of the same architecture.
    loader : DataLoader
        Batches of (images, classes); the paper's soft labels are those of the training images.
    temperature : float
        T; positive. The paper's choice is 20, and up to 100.
    epochs : int
        How many.
    optimizer : callable, default Adam
        Makes an optimizer of the student's parameters. Gradients are about ``T`` times smaller than
        those of plain training: an optimizer with a fixed rate needs more of it.
    validation : DataLoader, optional
        Evaluated after each epoch at temperature 1.
    num_classes, device
        As for :class:`tinyconv.train.Trainer`.

    Returns
    -------
    History

    Raises
    ------
    ArgumentError
        If the temperature is not positive.
    """
    check_temperature("distill", temperature)

    def loss(logits: Any, taught: Any, target: Any) -> Any:
        return F.soft_target_cross_entropy(logits, (taught / temperature).softmax(1), temperature)

    trainer = DistillationTrainer(
        student, optimizer(student.parameters()), teacher, loss=loss, num_classes=num_classes,
        device=device,
    )  # fmt: skip
    return trainer.fit(loader, validation, epochs=epochs)


@dataclass
class DefensiveDistillation:
    """What :func:`defensive_distillation` gives: both models, and how their training went.

    After Ctrl-C the histories end with the last complete epoch; the student's is empty where the
    teacher was not finished.
    """

    teacher: Module
    student: Module
    teacher_history: History = field(default_factory=History)
    student_history: History = field(default_factory=History)


def defensive_distillation(
    make_model: Callable[[], Module],
    loader: Any,
    *,
    temperature: float,
    epochs: int,
    optimizer: MakeOptimizer = Adam,
    validation: Any = None,
    common_epochs: int = 0,
    num_classes: int = 10,
    device: Any = None,
) -> DefensiveDistillation:
    """Train a teacher at a temperature, then a student of the same kind on its soft labels.

    Parameters
    ----------
    make_model : callable
        Makes the teacher, and then the student.
    loader, temperature, epochs, optimizer, validation, num_classes, device
        As for :func:`distill`; for both.
    common_epochs : int, default 0
        Epochs of plain training (at temperature 1) of one model, with whose weights both start, as
        Carlini and Wagner (2017), arXiv 1608.04644, do with one: at a high temperature the first
        steps are slow. 0 starts both as ``make_model`` makes them.

    Returns
    -------
    DefensiveDistillation

    Raises
    ------
    ArgumentError
        If the temperature is not positive.

    Examples
    --------
    >>> import tinyconv as tc
    >>> data = tc.data.TensorDataset(tc.randn(8, 4), tc.zeros(8, dtype=tc.int64))
    >>> made = tc.adversarial.defensive_distillation(
    ...     lambda: tc.nn.Linear(4, 3), tc.data.DataLoader(data, batch_size=4), temperature=20,
    ...     epochs=2, num_classes=3,
    ... )
    >>> len(made.teacher_history), len(made.student_history)
    (2, 2)
    """
    check_temperature("defensive_distillation", temperature)
    options: dict[str, Any] = {"num_classes": num_classes, "device": device}
    made = DefensiveDistillation(make_model(), make_model())
    if common_epochs:
        common = make_model()
        plain = Trainer(common, optimizer(common.parameters()), **options)
        plain.fit(loader, epochs=common_epochs)
        for model in (made.teacher, made.student):
            model.load_state_dict(common.state_dict())
        if plain.interrupted:
            return made
    trainer = _AtTemperature(made.teacher, optimizer(made.teacher.parameters()), **options)
    trainer.temperature = temperature
    made.teacher_history = trainer.fit(loader, validation, epochs=epochs)
    if not trainer.interrupted:
        made.student_history = distill(
            made.teacher, made.student, loader, temperature=temperature, epochs=epochs,
            optimizer=optimizer, validation=validation, **options,
        )  # fmt: skip
    return made
