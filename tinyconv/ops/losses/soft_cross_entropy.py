"""Cross-entropies of distributions: from probabilities, and against those of a teacher.

The dimension of the classes is 1, or the only one, as in :func:`.cross_entropy.cross_entropy`.
"""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...backend.cuda.driver.graphs import recording
from ...errors import ArgumentError, ShapeError
from .._operands import check_floating
from ..elementwise.selection import AtLeast
from ._labels import check_class_weight, class_last
from ._losses import check_reduction, check_temperature, reduce_losses, same_shape
from .cross_entropy import check_smoothing, cross_entropy, of_labels, of_shares


class ClampedLog(Function):
    """max(log(p), -100), with gradient 1 / max(p, 1e-12), so that p = 0 can be learnt from."""

    @staticmethod
    def forward(ctx: Any, p: Any) -> Any:
        ctx.save_for_backward(p)
        return p.log().clamp(min=-100.0)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (p,) = ctx.saved_tensors
        return grad / p.clamp(min=1e-12)


def categorical_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    from_logits: bool = False,
) -> Any:
    """Cross-entropy of one-hot targets, from probabilities: ``-sum(target * log(input))``.

    Keras's ``categorical_crossentropy``. The logarithms are at least -100, so that a certain and
    wrong answer costs 100 instead of infinity. :func:`cross_entropy`, from scores, is exact.

    Parameters
    ----------
    input : Tensor
        Probabilities, as ``softmax`` gives them: (N, C), (N, C, *S) or (C,).
    target : Tensor
        One-hot or any distribution, of the shape of ``input``.
    weight : Tensor, optional
        (C,): factor of the term of each class.
    reduction : {"mean", "sum", "none"}
        Over N and S.
    label_smoothing : float, default 0.0
        Share of the target that is spread evenly over all classes; from 0 to 1.
    from_logits : bool, default False
        Whether ``input`` holds scores: then it is :func:`cross_entropy`.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If an element of ``input`` is outside [0, 1].

    Examples
    --------
    >>> import tinyconv as tc
    >>> p, target = tc.tensor([[0.30, 0.15, 0.55]]), tc.tensor([[0.0, 0.0, 1.0]])
    >>> tc.nn.functional.categorical_cross_entropy(p, target)
    tensor(0.5978)
    """
    op = "categorical_cross_entropy"
    check_reduction(op, reduction)
    check_smoothing(op, label_smoothing)
    input, target = same_shape(op, input, target)
    if from_logits:
        return cross_entropy(
            input, target, weight, reduction=reduction, label_smoothing=label_smoothing
        )
    _check_probabilities(op, input)
    check_class_weight(op, input, weight)
    return of_shares(op, input, target, ClampedLog.apply, weight, reduction, label_smoothing)


def sparse_categorical_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    from_logits: bool = False,
) -> Any:
    """Cross-entropy of labels, from probabilities: ``-log(input[target])``.

    Keras's ``sparse_categorical_crossentropy``; logarithms are at least -100.

    Parameters
    ----------
    input : Tensor
        Probabilities, as ``softmax`` gives them: (N, C), (N, C, *S) or (C,).
    target : Tensor
        Labels, integers of shape (N,), (N, *S) or ().
    weight, ignore_index, reduction
        As in :func:`cross_entropy`.
    from_logits : bool, default False
        Whether ``input`` holds scores: then it is :func:`cross_entropy`.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    IndexRangeError
        If a label is not a class.
    ArgumentError
        If an element of ``input`` is outside [0, 1].
    """
    op = "sparse_categorical_cross_entropy"
    check_reduction(op, reduction)
    check_floating(op, "input", input)
    if from_logits:
        log_p = input.log_softmax(min(1, max(input.array.ndim - 1, 0)))
    else:
        _check_probabilities(op, input)
        log_p = ClampedLog.apply(input)
    return of_labels(op, log_p, target, weight, ignore_index, reduction)


def _check_probabilities(op: str, input: Any) -> None:
    p, xp = input.array, input.xp
    if not recording() and not bool(xp.all((p >= 0) & (p <= 1))):
        raise ArgumentError(
            f"{op}: argument 'input' must hold probabilities in [0, 1], but has others; for scores "
            "pass from_logits=True"
        )


def soft_target_cross_entropy(
    input: Any, target: Any, temperature: float = 1.0, reduction: str = "mean"
) -> Any:
    """Cross-entropy of scores at a temperature: ``-sum(target * log_softmax(input / T))``.

    With mixed labels (mixup, CutMix) at ``T = 1``; with a teacher's ``softmax(scores / T)`` it is
    the loss of defensive distillation, which has no factor ``T**2``.

    Parameters
    ----------
    input : Tensor
        Scores, (N, C), (N, C, *S) or (C,), floating point.
    target : Tensor
        Distributions over the classes, of the shape of ``input``.
    temperature : float, default 1.0
        Scores are divided by it; positive.
    reduction : {"mean", "sum", "none"}
        Over N and S.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If the temperature is not positive.

    References
    ----------
    Papernot et al., "Distillation as a defense to adversarial perturbations against deep neural
    networks", arXiv:1511.04508.
    """
    op = "soft_target_cross_entropy"
    check_reduction(op, reduction)
    check_temperature(op, temperature)
    input, target = same_shape(op, input, target)
    return cross_entropy(input / temperature, target, reduction=reduction)


def distillation_kl_loss(
    input: Any,
    teacher: Any,
    temperature: float = 4.0,
    reduction: str = "mean",
    squared_temperature: bool = True,
) -> Any:
    """Divergence of a student from its teacher, both at a temperature.

    ``T**2 * KL(softmax(teacher / T) || softmax(input / T))``. The factor keeps gradients of one
    size for all temperatures: that of a sample is ``T * (p_student - p_teacher)``, which for large
    ``T`` is that of half the mean squared error of the centred scores.

    Parameters
    ----------
    input : Tensor
        Scores of the student, (N, C), (N, C, *S) or (C,), floating point.
    teacher : Tensor
        Scores of the teacher, of the same shape. It gets no gradient.
    temperature : float, default 4.0
        Scores are divided by it; positive.
    reduction : {"mean", "batchmean", "sum", "none"}
        Of the divergences, of which there is one for each of N and S, so that the mean of (N, C)
        is ``"batchmean"`` of :func:`kl_div`. ``"batchmean"`` is the sum divided by N.
    squared_temperature : bool, default True
        Whether there is the factor ``T**2``.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If the temperature is not positive.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531.

    Examples
    --------
    >>> import tinyconv as tc
    >>> student, teacher = tc.tensor([[1.0, 2.0]]), tc.tensor([[2.0, 1.0]])
    >>> tc.nn.functional.distillation_kl_loss(student, teacher, temperature=1.0)
    tensor(0.4621)
    """
    op = "distillation_kl_loss"
    check_reduction(op, reduction, ("batchmean",))
    check_temperature(op, temperature)
    input, teacher = same_shape(op, input, teacher)
    shape = tuple(input.array.shape)
    if not shape:
        raise ShapeError(f"{op}: argument 'input' must have a dimension of classes, got shape ()")
    log_p = (class_last(input) / temperature).log_softmax(1)
    log_q = (class_last(teacher.detach()) / temperature).log_softmax(1)
    # Rounding makes the divergence of equal distributions negative now and then.
    losses = AtLeast.apply((log_q.exp() * (log_q - log_p)).sum(1), 0.0)
    if squared_temperature:
        losses = losses * temperature**2
    if reduction == "batchmean":
        return losses.sum() / (shape[0] if shape[1:] else 1)
    return reduce_losses(op, losses.reshape(shape[:1] + shape[2:] if shape[1:] else ()), reduction)
