"""The training loop: steps, epochs, validation, and a state from which it goes on exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import config
from ..amp import GradScaler, autocast
from ..autograd import no_grad
from ..backend import as_device
from ..backend.dtypes import bfloat16, float16
from ..errors import AnomalyError, ArgumentError
from ..nn import Module
from ..nn import functional as F
from ..ops import get_rng_state, set_rng_state
from ..optim import Optimizer
from ..optim.lr_scheduler import ReduceLROnPlateau
from .history import History
from .interrupt import StopSignal
from .metrics import ConfusionMatrix
from .modes import evaluating
from .progress import progress_bar

#: The lower dtype of autocast by name of the precision.
PRECISIONS = {"fp32": None, "bf16": bfloat16, "fp16": float16}


@dataclass(frozen=True)
class Evaluation:
    """Mean loss a sample, and the confusion matrix, of a model on a data set."""

    loss: float
    confusion: ConfusionMatrix

    @property
    def accuracy(self) -> float:
        """Share of samples that were classified correctly."""
        return self.confusion.accuracy


class Trainer:
    """Trains a classifier and keeps all that is needed to go on later.

    Parameters
    ----------
    model : Module
        Returns logits of shape ``(N, num_classes)``.
    optimizer : Optimizer
        Holds the parameters of the model.
    loss : callable, default ``cross_entropy``
        ``loss(logits, target)`` gives the mean over the batch.
    scheduler : optional
        Learning-rate scheduler; stepped after each epoch. ``ReduceLROnPlateau`` looks at the loss
        in validation, or in training where there is none.
    num_classes : int, default 10
        Classes in the confusion matrix.
    device : optional
        Where batches are moved to; default is the device of the model's first parameter.
    precision : {"fp32", "bf16", "fp16"}
        What the model and the loss compute in: float32, or under :class:`tinyconv.autocast` with
        bfloat16 or float16. Parameters stay float32. With float16 the loss is scaled (see
        :class:`tinyconv.amp.GradScaler`), and the scale is part of the state.

    Raises
    ------
    ArgumentError
        If the precision is unknown.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.models.LeNet5()
    >>> trainer = tc.train.Trainer(model, tc.optim.Adam(model.parameters()))
    >>> data = tc.data.TensorDataset(tc.randn(8, 1, 28, 28), tc.zeros(8, dtype=tc.int64))
    >>> history = trainer.fit(tc.data.DataLoader(data, batch_size=4), epochs=1)
    >>> len(history)
    1
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Any, Any], Any] = F.cross_entropy,
        *,
        scheduler: Any = None,
        num_classes: int = 10,
        device: Any = None,
        precision: str = "fp32",
    ) -> None:
        if precision not in PRECISIONS:
            raise ArgumentError(
                f"{type(self).__name__}: precision must be one of {', '.join(PRECISIONS)}, got "
                f"{precision!r}"
            )
        self.model, self.optimizer, self.loss, self.scheduler = model, optimizer, loss, scheduler
        self.num_classes = num_classes
        self.device = next(model.parameters()).device if device is None else device
        self.precision, kind = precision, as_device(self.device).type
        self.autocast = autocast(kind, PRECISIONS[precision], enabled=precision != "fp32")
        self.scaler = GradScaler(kind, enabled=precision == "fp16")
        self.history = History()
        self.epoch = 0  # complete epochs
        self.interrupted = False  # whether a signal ended the last fit
        self._sums: dict[str, Any] = {
            "loss": 0.0,
            "correct": 0,
            "seen": 0,
            "steps": 0,
            "seconds": 0.0,
        }

    def fit(
        self,
        loader: Any,
        validation: Any = None,
        *,
        epochs: int,
        on_epoch_end: Callable[[dict[str, Any]], None] | None = None,
    ) -> History:
        """Train until ``epochs`` epochs are complete, counting those before a resume.

        Parameters
        ----------
        loader : DataLoader
            Batches of (images, class indices).
        validation : DataLoader, optional
            Evaluated after each epoch.
        epochs : int
            Total number of epochs; ``TINYCONV_MAX_EPOCHS`` caps it.
        on_epoch_end : callable, optional
            Gets the new row of the history.

        Returns
        -------
        History
            A row an epoch. After Ctrl-C it ends at the last complete epoch, and the state is
            that after the last complete step.

        Raises
        ------
        AnomalyError
            If the loss becomes NaN or infinite; the parameters are those before that step.
        """
        epochs = min(epochs, config.max_epochs.get() or epochs)
        with StopSignal() as stop:
            while self.epoch < epochs and not stop.requested:
                if not self._train_epoch(loader, epochs, stop):
                    break
                row = self._close_epoch(validation)
                if on_epoch_end is not None:
                    on_epoch_end(row)
        self.interrupted = stop.requested
        return self.history

    def evaluate(self, loader: Any) -> Evaluation:
        """Return loss and confusion matrix over ``loader``, in eval mode and without a graph.

        Afterwards each module of the model is in the mode that it was in.
        """
        confusion, loss, seen = ConfusionMatrix(self.num_classes), 0.0, 0
        with evaluating(self.model), no_grad():
            for images, target in loader:
                images, target = images.to(self.device), target.to(self.device)
                with self.autocast:
                    logits = self.model(images)
                    loss += self.loss(logits, target).item() * len(target)
                seen += len(target)
                confusion.update(target.cpu().numpy(), logits.argmax(1).cpu().numpy())
        return Evaluation(loss / max(seen, 1), confusion)

    # -- what a subclass may change ---------------------------------------------------------

    def batch_loss(self, images: Any, target: Any) -> tuple[Any, Any]:
        """Return the loss to descend on a batch, and the logits whose accuracy is shown.

        It is called in the precision of the trainer.
        """
        logits = self.model(images)
        return self.loss(logits, target), logits

    def validate(self, loader: Any) -> dict[str, Any]:
        """Return what an epoch's row says of the validation set, by name."""
        result = self.evaluate(loader)
        return {"val_loss": result.loss, "val_accuracy": result.accuracy}

    # -- the state --------------------------------------------------------------------------

    def state_dict(self, loader: Any = None) -> dict[str, Any]:
        """Return all that a later run needs to go on bit for bit, for ``tinyconv.save``."""
        return {
            "epoch": self.epoch,
            "sums": dict(self._sums),
            "history": [dict(row) for row in self.history.rows],
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "loader": None if loader is None else loader.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any], loader: Any = None) -> None:
        """Go back to a state from :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if state.get("scaler"):  # empty without scaling, and missing in older files
            self.scaler.load_state_dict(state["scaler"])
        if loader is not None and state["loader"] is not None:
            loader.load_state_dict(state["loader"])
        self.epoch, self._sums = state["epoch"], dict(state["sums"])
        self.history = History(state["history"])
        set_rng_state(state["rng"])

    # -- one epoch --------------------------------------------------------------------------

    def _train_epoch(self, loader: Any, epochs: int, stop: StopSignal) -> bool:
        """Run the (rest of the) epoch; return whether it was completed."""
        self.model.train()
        if self._sums["steps"] == 0 and hasattr(loader, "set_epoch"):
            loader.set_epoch(self.epoch)  # the order is that of the epoch, however it was reached
        limit = config.max_steps.get()
        start, before = time.perf_counter(), self._sums["seconds"]
        bar = progress_bar(len(loader), self._sums["steps"], f"epoch {self.epoch + 1}/{epochs}")
        with bar:
            for images, target in loader:
                self._step(images.to(self.device), target.to(self.device))
                self._sums["seconds"] = before + time.perf_counter() - start
                seen = self._sums["seen"]
                bar.set_postfix_str(
                    f"loss {self._sums['loss'] / seen:.4f}, "
                    f"accuracy {self._sums['correct'] / seen:.4f}",
                    refresh=False,
                )
                bar.update()
                if stop.requested:
                    return self._sums["steps"] == len(loader)
                if limit is not None and self._sums["steps"] >= limit:
                    break
        return True

    def _step(self, images: Any, target: Any) -> None:
        value, logits = self._update(images, target)
        self._sums["loss"] += value * len(target)
        self._sums["correct"] += int((logits.detach().argmax(1) == target).sum().item())
        self._sums["seen"] += len(target)
        self._sums["steps"] += 1

    def _update(self, images: Any, target: Any) -> tuple[float, Any]:
        """Move the parameters once; return the loss and the logits from before."""
        self.optimizer.zero_grad()
        with self.autocast:
            loss, logits = self.batch_loss(images, target)
        value = loss.item()
        if value != value or value in (float("inf"), float("-inf")):
            raise AnomalyError(
                f"the loss became {value} in epoch {self.epoch + 1}, step "
                f"{self._sums['steps'] + 1}; lower the learning rate, or find the op with "
                "tinyconv.autograd.detect_anomaly()"
            )
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value, logits

    def _close_epoch(self, validation: Any) -> dict[str, Any]:
        seen = max(self._sums["seen"], 1)
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "loss": self._sums["loss"] / seen,
            "accuracy": self._sums["correct"] / seen,
        }
        if validation is not None:
            row.update(self.validate(validation))
        row["seconds"] = self._sums["seconds"]
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row.get("val_loss", row["loss"]))
        elif self.scheduler is not None:
            self.scheduler.step()
        self.history.rows.append(row)
        self.epoch += 1
        self._sums = {"loss": 0.0, "correct": 0, "seen": 0, "steps": 0, "seconds": 0.0}
        return row
