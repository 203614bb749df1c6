"""What an attack returns: the images, and for each one what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from ..ops import as_tensor, cat

#: Attributes that are NumPy arrays with one row a sample.
PER_SAMPLE = (
    "success", "success_uint8", "clean_wrong", "eps_used", "queries", "loss", "restart", "found_by",
)  # fmt: skip


@dataclass(frozen=True)
class AttackResult:
    """Adversarial images, and a record of each.

    All arrays have one entry a sample, in the order of the input.

    Attributes
    ----------
    x_adv : Tensor
        The images, legal also where the attack failed: then the best try.
    success : bool array
        Whether the model errs on ``x_adv`` (is at the target, if targeted), by a strict margin,
        from a forward pass of its own on the returned images.
    success_uint8 : bool array
        The same after rounding to 256 steps between the bounds, as an image file would.
    clean_wrong : bool array
        Whether the model erred before the attack (was at the target). Such images come back
        unchanged and count as a success: robust accuracy is never above clean accuracy.
    norm : dict of str to float64 array
        ``"l0"``, ``"l1"``, ``"l2"`` and ``"linf"`` of the perturbation.
    eps_used : float64 array
        The radius that was allowed; for an attack that looks for the least perturbation, the norm
        it found (infinity where it found none). The largest one where it differs by channel.
    queries : int64 array (N, 2)
        Forward and backward passes that the sample took.
    loss : float64 array
        The value of the attack's objective at ``x_adv``; larger is closer to success.
    restart : int64 array
        Which restart the image is from, starting at 0.
    attack : str
        Name of the attack.
    config : dict
        Its arguments, so that it can be run again.
    found_by : array of str
        Which attack of several broke the sample (see :func:`worst_case`); ``"clean"`` where it was
        wrong before, ``""`` where it still stands.
    """

    x_adv: Any
    success: np.ndarray
    success_uint8: np.ndarray
    clean_wrong: np.ndarray
    norm: dict[str, np.ndarray]
    eps_used: np.ndarray
    queries: np.ndarray
    loss: np.ndarray
    restart: np.ndarray
    attack: str
    config: dict[str, Any] = field(repr=False)
    found_by: Any = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.found_by is None:
            names = np.where(self.success, self.attack, "").astype(object)
            names[self.clean_wrong] = "clean"
            object.__setattr__(self, "found_by", names)

    def __len__(self) -> int:
        return len(self.success)

    def items(self) -> dict[str, Any]:
        """Return all fields by name, to make a larger result of this one."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @property
    def robust_accuracy(self) -> float:
        """Share of all samples on which the model is still right; NaN of an empty batch.

        Samples that were wrong from the start count as not robust.
        """
        return float(1 - self.success.mean()) if len(self) else float("nan")

    def take(self, rows: np.ndarray) -> AttackResult:
        """Return the result of some of the samples, by their numbers."""
        arrays = {name: getattr(self, name)[rows] for name in PER_SAMPLE}
        norm = {name: values[rows] for name, values in self.norm.items()}
        x_adv = self.x_adv[as_tensor(rows, device=self.x_adv.device)]
        return replace(self, x_adv=x_adv, norm=norm, **arrays)

    def table(self) -> str:
        """Return the figures in plain text, for the terminal."""
        lines = [f"{self.attack} on {len(self)} images"]
        if len(self):
            moved = self.success & ~self.clean_wrong
            lines.append(f"  wrong before the attack   {self.clean_wrong.mean():8.2%}")
            lines.append(f"  robust accuracy           {self.robust_accuracy:8.2%}")
            lines.append(f"  successes after rounding  {self.success_uint8.mean():8.2%}")
            for name, values in self.norm.items():
                middle = np.median(values[moved]) if moved.any() else float("nan")
                lines.append(f"  median {name:4} of successes  {middle:8.4g}")
            lines.append(f"  mean forward passes       {self.queries[:, 0].mean():8.1f}")
            lines.append(f"  mean backward passes      {self.queries[:, 1].mean():8.1f}")
        return "\n".join(lines)


def concatenate(parts: Sequence[AttackResult]) -> AttackResult:
    """Join the results of one attack on consecutive batches."""
    first = parts[0]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PER_SAMPLE}
    norm = {name: np.concatenate([part.norm[name] for part in parts]) for name in first.norm}
    return AttackResult(
        x_adv=cat([part.x_adv for part in parts]),
        norm=norm,
        attack=first.attack,
        config=first.config,
        **arrays,
    )
