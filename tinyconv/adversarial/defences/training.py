"""Adversarial training: the loop of :class:`tinyconv.train.Trainer` with robust validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...nn import Module
from ...optim import Optimizer
from ...train import History, Trainer
from ..attacks.fgsm import fgsm
from ..attacks.pgd import check_steps, pgd
from .training_methods import TrainingMethod


class AdversarialTrainer(Trainer):
    """Trains a classifier against perturbations, and watches its accuracy under attack.

    With a validation set, a row of the history has also ``val_robust_accuracy``, the accuracy under
    PGD; ``val_fgsm_accuracy``, that under one step; and ``collapsed``: whether PGD accuracy has
    fallen below half of its best while FGSM accuracy is more than twice as high, the sign of a
    model that only fools single steps. A collapse also raises a ``RuntimeWarning``.

    Parameters
    ----------
    model : Module
        From images within the method's bounds to logits ``(N, num_classes)``; normalisation is a
        layer of it.
    optimizer : Optimizer
        Holds the parameters of the model.
    method : TrainingMethod
        What is minimised: :class:`PGDTraining`, :class:`FastTraining`, :class:`FreeTraining`,
        :class:`TradesTraining`, :class:`MartTraining` or :class:`IntervalTraining`. Its ``eps``,
        ``norm`` and ``bounds`` are those of the validation, too.
    attack_steps, attack_restarts : int, default 20 and 1
        Of PGD in the validation.
    restore_best : bool, default True
        Give the model, at the end of ``fit``, the weights of the epoch with the best robust
        accuracy in validation: it falls again when training goes on (Rice, Wong and Kolter, 2020,
        "Overfitting in adversarially robust deep learning", arXiv 2002.11569). After an
        interruption the last weights stay.
    scheduler, num_classes, device, precision
        As for :class:`tinyconv.train.Trainer`. Attacks, also those of the validation, see the model
        in float32, whatever the precision: rounded or vanishing gradients would make them weak, and
        the model would seem robust.

    Attributes
    ----------
    best : dict or None
        ``epoch``, ``robust_accuracy`` and ``model`` (a state dict) of the best epoch so far.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(16, 3))
    >>> trainer = tc.adversarial.AdversarialTrainer(
    ...     model, tc.optim.Adam(model.parameters()), tc.adversarial.PGDTraining(eps=0.1, steps=3),
    ...     num_classes=3,
    ... )
    >>> data = tc.data.TensorDataset(tc.rand(8, 1, 4, 4), tc.zeros(8, dtype=tc.int64))
    >>> loader = tc.data.DataLoader(data, batch_size=4)
    >>> history = trainer.fit(loader, loader, epochs=1)
    >>> sorted(set(history.rows[0]) - {"epoch", "lr", "loss", "accuracy", "seconds"})
    ['collapsed', 'val_accuracy', 'val_fgsm_accuracy', 'val_loss', 'val_robust_accuracy']
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        method: TrainingMethod,
        *,
        attack_steps: int = 20,
        attack_restarts: int = 1,
        restore_best: bool = True,
        scheduler: Any = None,
        num_classes: int = 10,
        device: Any = None,
        precision: str = "fp32",
    ) -> None:
        super().__init__(
            model, optimizer, scheduler=scheduler, num_classes=num_classes, device=device,
            precision=precision,
        )  # fmt: skip
        check_steps(
            "AdversarialTrainer", attack_steps=attack_steps, attack_restarts=attack_restarts
        )
        self.method, self.restore_best = method, restore_best
        self.attack_steps, self.attack_restarts = attack_steps, attack_restarts
        self.best: dict[str, Any] | None = None

    def fit(
        self,
        loader: Any,
        validation: Any = None,
        *,
        epochs: int,
        on_epoch_end: Callable[[dict[str, Any]], None] | None = None,
    ) -> History:
        """Train as :meth:`tinyconv.train.Trainer.fit` does; then go to the best epoch if wanted."""
        history = super().fit(loader, validation, epochs=epochs, on_epoch_end=on_epoch_end)
        if self.restore_best and self.best is not None and not self.interrupted:
            self.model.load_state_dict(self.best["model"])
        return history

    def batch_loss(self, images: Any, target: Any) -> tuple[Any, Any]:
        """Return the loss of the method, and the logits whose accuracy it shows."""
        return self.method.loss(self.model, images, target)

    def validate(self, loader: Any) -> dict[str, Any]:
        """Return loss and accuracy of the clean images, and the accuracy under two attacks."""
        right, seen = np.zeros(2), 0
        head = {"eps": self.method.eps, "norm": self.method.norm, "bounds": self.method.bounds}
        for images, target in loader:
            images, target = images.to(self.device), target.to(self.device)
            options = {**head, "index": np.arange(seen, seen + len(target))}
            strong = pgd(self.model, images, target, steps=self.attack_steps,
                         restarts=self.attack_restarts, **options)  # fmt: skip
            quick = fgsm(self.model, images, target, **options)
            right += [np.sum(~strong.success), np.sum(~quick.success)]
            seen += len(target)
        robust, quickly = (right / max(seen, 1)).tolist()
        return {
            **super().validate(loader),
            "val_robust_accuracy": robust,
            "val_fgsm_accuracy": quickly,
        }

    def state_dict(self, loader: Any = None) -> dict[str, Any]:
        """Return all that a later run needs to go on bit for bit, the best epoch included."""
        method = self.method.state_dict()
        return {**super().state_dict(loader), "method": method, "best": self.best}

    def load_state_dict(self, state: dict[str, Any], loader: Any = None) -> None:
        """Go back to a state from :meth:`state_dict`."""
        super().load_state_dict(state, loader)
        self.method.load_state_dict(state["method"])
        self.best = state["best"]

    def _update(self, images: Any, target: Any) -> tuple[float, Any]:
        for _ in range(self.method.replays):
            result = super()._update(images, target)
            self.method.after_update()
        return result

    def _close_epoch(self, validation: Any) -> dict[str, Any]:
        row = super()._close_epoch(validation)
        if validation is None:
            return row
        robust, quick, best = row["val_robust_accuracy"], row["val_fgsm_accuracy"], self.best
        top, chance = 0.0 if best is None else best["robust_accuracy"], 1 / self.num_classes
        row["collapsed"] = collapsed(top, robust, quick, chance)
        if row["collapsed"]:
            warnings.warn(
                f"epoch {row['epoch']}: accuracy under PGD is {robust:.1%}, after {top:.1%} at its "
                f"best, while that under FGSM is {quick:.1%}: the model has learnt to fool single "
                "steps; use more steps, a smaller step_size or a lower learning rate",
                RuntimeWarning,
                stacklevel=2,
            )
        if best is None or robust > top:
            weights = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.best = {"epoch": row["epoch"], "robust_accuracy": robust, "model": weights}
        return row


def collapsed(best: float, robust: float, quick: float, chance: float) -> bool:
    """Tell whether accuracies show catastrophic overfitting.

    Parameters
    ----------
    best, robust : float
        Accuracy under PGD: the best so far, and now.
    quick : float
        Accuracy under FGSM now.
    chance : float
        Accuracy of guessing: a best one of less than twice that is nothing to fall from.
    """
    return best >= 2 * chance and robust < best / 2 and quick > 2 * robust
