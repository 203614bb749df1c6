"""Exact statements about a probability from counts: a lower bound, and a test of a fair coin."""

from __future__ import annotations

import math

import numpy as np


def tail(count: int, trials: int, p: float) -> float:
    """Return the probability of ``count`` or more successes in ``trials`` of probability ``p``.

    The terms are summed up, each from the one before it: exact to about ten digits for a million
    trials.
    """
    if count <= 0 or p >= 1:
        return 1.0
    if p <= 0 or count > trials:
        return 0.0
    odds = math.log(p) - math.log1p(-p)
    first = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    first += count * math.log(p) + (trials - count) * math.log1p(-p)
    i = np.arange(count, trials)
    growth = np.log((trials - i) / (i + 1)) + odds  # of term i + 1 over term i
    logs = first + np.concatenate([[0.0], np.cumsum(growth)])
    return min(float(np.exp(logs).sum()), 1.0)


def lower_bound(count: int, trials: int, alpha: float) -> float:
    """Return a bound that is above the true probability with a chance of at most ``alpha``.

    Clopper and Pearson (1934): the probability of which ``count`` or more successes have the
    chance ``alpha``. It is ``alpha ** (1 / trials)`` where all trials succeed, and 0 where none
    does.
    """
    if count == 0:
        return 0.0
    if count == trials:
        return alpha ** (1 / trials)
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if tail(count, trials, middle) <= alpha:
            low = middle
        else:
            high = middle
    return low


def fair_coin(heads: int, tosses: int) -> float:
    """Return the two-sided p-value of ``heads`` in ``tosses`` of a fair coin."""
    return min(1.0, 2 * tail(max(heads, tosses - heads), tosses, 0.5))
