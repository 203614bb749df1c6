"""Several attacks one after the other, each on the samples that are left; per sample, the worst."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as changed
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import as_tensor
from ..best import replace
from ..problem import sample_numbers
from ..result import AttackResult

#: An attack with its arguments filled in, all but ``model``, ``x``, ``y`` and ``index``.
Ready = Callable[..., AttackResult]


def worst_case(
    model: Any,
    x: Any,
    y: Any,
    attacks: Mapping[str, Ready],
    *,
    index: Any = None,
    per_sample: Mapping[str, Any] | None = None,
    name: str = "worst_case",
    config: dict[str, Any] | None = None,
) -> AttackResult:
    """Run several attacks, each on the samples that the ones before it left standing.

    So the robust accuracy is that of the best attack for each sample, which is lower than that of
    any one attack for all (Carlini et al., 2019, "On evaluating adversarial robustness", arXiv
    1902.06705, section 5.1).

    Parameters
    ----------
    model, x, y, index
        As for :func:`fgsm`.
    attacks : dict of str to callable
        Functions of ``(model, x, y, index=...)`` that return an :class:`AttackResult`, such as
        ``functools.partial(pgd, eps=0.1)``; in the order in which they are run, the quick ones
        first.
    per_sample : dict of str to Tensor, optional
        Further arguments of all attacks, with one row a sample: each attack gets those of its
        samples.
    name : str, default "worst_case"
        Name of the result.
    config : dict, optional
        Arguments to keep with the result.

    Returns
    -------
    AttackResult
        ``found_by`` names the attack that broke each sample, ``"clean"`` where it was wrong before,
        ``""`` where all failed; the image there is that of the last attack.

    Raises
    ------
    ArgumentError
        If there is no attack.

    Examples
    --------
    >>> from functools import partial
    >>> import tinyconv as tc
    >>> from tinyconv import adversarial
    >>> _ = tc.manual_seed(0)
    >>> model, x = tc.models.LeNet5(), tc.rand(4, 1, 28, 28)
    >>> result = adversarial.worst_case(model, x, model(x).argmax(1), {
    ...     "fgsm": partial(adversarial.fgsm, eps=0.001),
    ...     "pgd": partial(adversarial.pgd, eps=0.3, steps=10),
    ... })
    >>> result.found_by.tolist()
    ['pgd', 'pgd', 'pgd', 'pgd']
    """
    if not attacks:
        raise ArgumentError(f"{name}: argument 'attacks' must hold at least one attack")
    x, y = as_tensor(x).detach(), as_tensor(y)
    index = sample_numbers(index, len(x))
    rows, result = np.arange(len(x)), None
    for label, attack in attacks.items():
        if result is not None:
            rows = np.flatnonzero(~result.success)
            if not len(rows):
                break
        pick = as_tensor(rows, device=x.device)
        own = {key: values[pick] for key, values in (per_sample or {}).items()}
        part = attack(model, x[pick], y[pick], index=index[rows], **own)
        result = _first(part, label) if result is None else _merge(result, rows, part, label)
    assert result is not None
    return changed(result, attack=name, config=dict(config or {}))


def worst_of(results: Mapping[str, AttackResult], name: str = "worst_of") -> AttackResult:
    """Join finished results of several attacks on the same samples: per sample, the first success.

    What :func:`worst_case` would have found, for attacks that have all been run on all samples, as
    one does to compare them.

    Parameters
    ----------
    results : dict of str to AttackResult
        By name, in the order in which they count.
    name : str, default "worst_of"
        Name of the result.

    Returns
    -------
    AttackResult
        As of :func:`worst_case`.

    Raises
    ------
    ArgumentError
        If there is no result, or they are of different numbers of samples.
    """
    counts = {label: len(result) for label, result in results.items()}
    if len(set(counts.values())) != 1:
        raise ArgumentError(
            f"{name}: argument 'results' must hold at least one result, and all must be of as many "
            f"samples, got {counts}"
        )
    joined = None
    for label, part in results.items():
        if joined is None:
            joined = _first(part, label)
        else:
            rows = np.flatnonzero(~joined.success)
            joined = _merge(joined, rows, part.take(rows), label)
    assert joined is not None
    return changed(joined, attack=name, config={})


def _first(part: AttackResult, label: str) -> AttackResult:
    found_by = np.where(part.found_by == part.attack, label, part.found_by)
    return changed(part, found_by=found_by)


def _merge(all_: AttackResult, rows: np.ndarray, part: AttackResult, label: str) -> AttackResult:
    """Return the result with the samples ``rows`` from another attack; passes are added up."""
    arrays: dict[str, Any] = {}
    for name in ("success", "success_uint8", "eps_used", "loss", "restart"):
        arrays[name] = getattr(all_, name).copy()
        arrays[name][rows] = getattr(part, name)
    arrays["queries"] = all_.queries.copy()
    arrays["queries"][rows] += part.queries
    norm = {name: values.copy() for name, values in all_.norm.items()}
    for name, values in norm.items():
        values[rows] = part.norm[name]
    found_by = all_.found_by.copy()
    found_by[rows] = np.where(part.success, label, "")
    x_adv = replace(all_.x_adv, rows, part.x_adv, np.ones(len(rows), bool))
    return changed(all_, x_adv=x_adv, norm=norm, found_by=found_by, **arrays)
