"""Knowledge distillation: a student learns from a teacher's scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import no_grad
from ..errors import ArgumentError
from ..nn import Module
from ..nn import functional as F
from ..ops.losses._losses import check_temperature
from ..optim import Optimizer
from .modes import evaluating
from .trainer import Trainer


def distillation_loss(
    student: Any, teacher: Any, target: Any, *, temperature: float = 4.0, alpha: float = 0.1
) -> Any:
    """Return ``alpha * CE(student, target) + (1 - alpha) * T**2 * KL(teacher || student)``.

    Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network", arXiv
    1503.02531. The divergence is that of the softmax of scores over ``T``, and its factor ``T**2``
    keeps the weights of the two terms comparable for all temperatures.

    Parameters
    ----------
    student, teacher : Tensor (N, K)
        Scores; the teacher's get no gradient.
    target : Tensor (N,)
        int64: the true classes.
    temperature : float, default 4.0
        T; positive.
    alpha : float, default 0.1
        Weight of the true classes, from 0 to 1.

    Returns
    -------
    Tensor of 0 dimensions
        The mean over the batch.

    Raises
    ------
    ArgumentError
        If ``alpha`` is not from 0 to 1, or ``temperature`` not positive.
    """
    if not 0 <= alpha <= 1:
        raise ArgumentError(f"distillation_loss: argument 'alpha' must be from 0 to 1, got {alpha}")
    hard = F.cross_entropy(student, target)
    return hard * alpha + F.distillation_kl_loss(student, teacher, temperature) * (1 - alpha)


class DistillationTrainer(Trainer):
    """Trains a student on the scores of a teacher.

    Parameters
    ----------
    model : Module
        The student; returns logits of shape ``(N, num_classes)``.
    optimizer : Optimizer
        Holds the parameters of the student.
    teacher : Module
        Returns logits of the same shape. It is in eval mode while it is asked, learns nothing, and
        sees the batch that the student sees.
    temperature : float, default 4.0
        As for :func:`distillation_loss`.
    alpha : float, default 0.1
        As for :func:`distillation_loss`.
    loss : callable, optional
        ``loss(student_logits, teacher_logits, target)``, in place of :func:`distillation_loss` with
        these two; they do not count then.
    scheduler, num_classes, device, precision
        As for :class:`Trainer`.

    Notes
    -----
    The history's ``val_loss`` is the plain cross-entropy of the student, at temperature 1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> teacher, student = tc.nn.Linear(4, 3), tc.nn.Linear(4, 3)
    >>> trainer = tc.train.DistillationTrainer(
    ...     student, tc.optim.SGD(student.parameters(), lr=0.1), teacher, num_classes=3
    ... )
    >>> data = tc.data.TensorDataset(tc.randn(8, 4), tc.zeros(8, dtype=tc.int64))
    >>> len(trainer.fit(tc.data.DataLoader(data, batch_size=4), epochs=2))
    2
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        teacher: Module,
        *,
        temperature: float = 4.0,
        alpha: float = 0.1,
        loss: Callable[[Any, Any, Any], Any] | None = None,
        scheduler: Any = None,
        num_classes: int = 10,
        device: Any = None,
        precision: str = "fp32",
    ) -> None:
        super().__init__(
            model, optimizer, scheduler=scheduler, num_classes=num_classes, device=device,
            precision=precision,
        )  # fmt: skip
        check_temperature("DistillationTrainer", temperature)
        if not 0 <= alpha <= 1:
            raise ArgumentError(
                f"DistillationTrainer: argument 'alpha' must be from 0 to 1, got {alpha}"
            )
        self.teacher, self.temperature, self.alpha = teacher, temperature, alpha
        self.distillation_loss = self._hinton if loss is None else loss

    def _hinton(self, student: Any, teacher: Any, target: Any) -> Any:
        return distillation_loss(
            student, teacher, target, temperature=self.temperature, alpha=self.alpha
        )

    def batch_loss(self, images: Any, target: Any) -> tuple[Any, Any]:
        """Return the loss against the teacher's scores, and the student's."""
        taught = self.taught(images)
        logits = self.model(images)
        return self.distillation_loss(logits, taught, target), logits

    def taught(self, images: Any) -> Any:
        """Return the teacher's scores, in eval mode; its modes are left as they were."""
        with evaluating(self.teacher), no_grad():
            return self.teacher(images)
