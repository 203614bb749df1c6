"""Randomized smoothing: the class that wins under noise, and a radius within which it must win."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any
from zlib import crc32

import numpy as np

from ...autograd import no_grad
from ...backend import random
from ...errors import ArgumentError, ShapeError
from ...ops import as_tensor, cat
from ...train.progress import progress_bar
from ..attacks.pgd import check_steps
from ..isolation import isolated
from ..problem import sample_numbers
from ..running import check_images
from . import binomial

ABSTAIN = -1
#: Noise is drawn for so many images at once, whatever the batch size: it depends on the sample and
#: the number of the draw alone.
BLOCK = 64
#: What a draw is for: the candidate class and the bound on its probability need noise of their own.
PREDICT, SELECT, ESTIMATE = 0, 1, 2


@dataclass(frozen=True)
class Certificates:
    """What is certain about each sample, with probability ``1 - alpha`` for each of them.

    Attributes
    ----------
    classes : int64 array (N,)
        The smoothed classifier's class; -1 where it abstains.
    radius : float64 array (N,)
        Within this L2 distance the class is the same; 0 where it abstains.
    p_lower : float64 array (N,)
        Lower bound of the probability of the candidate class under noise.
    """

    classes: np.ndarray
    radius: np.ndarray
    p_lower: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    def accuracy(self, y: Any, radius: float = 0.0) -> float:
        """Return the share of samples that are certainly of class ``y`` out to ``radius``."""
        y = np.asarray(as_tensor(y).numpy(force=True))
        sure = (self.classes == y) & (self.radius >= radius)
        return float(sure.mean()) if len(sure) else float("nan")


class SmoothedClassifier:
    """The classifier that returns the most probable class of a model under normal noise.

    Cohen, Rosenfeld and Kolter (2019), "Certified adversarial robustness via randomized
    smoothing", arXiv 1902.02918. Whatever the model, its smoothed form keeps its class within the
    L2 radius ``sigma * quantile(p)``, where ``p > 1/2`` is the probability of that class under
    noise. The model should be trained on noisy images (:class:`AdditiveNoise` as its first layer,
    or in the transforms), or the noise will confuse it.

    The noise of a sample follows from the seed, its index and the number of the draw: results do
    not depend on the batch size, and the global random numbers stay as they are.

    Parameters
    ----------
    model : Module or callable
        From images ``(N, ...)`` to logits ``(N, num_classes)``. It is in eval mode when used, and
        left as it was. It sees the noisy images as they are, also beyond the bounds of pixels.
    sigma : float
        Standard deviation of the noise, in the units of the images; positive.
    num_classes : int
        At least 2.
    seed : int, default 0
        Of the noise.

    Raises
    ------
    ArgumentError
        If ``sigma`` is not positive, or there are fewer than two classes.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    >>> smoothed = tc.adversarial.SmoothedClassifier(model, sigma=0.5, num_classes=2)
    >>> found = smoothed.certify(tc.full((1, 1, 2, 2), 0.5), n0=20, n=1000, alpha=0.001)
    >>> found.classes.tolist(), bool(0.7 < found.radius[0] < 1.0)  # the boundary is 1.0 away
    ([0], True)
    """

    def __init__(self, model: Any, sigma: float, num_classes: int, *, seed: int = 0) -> None:
        if not 0 < sigma < float("inf"):
            raise ArgumentError(
                f"SmoothedClassifier: argument 'sigma' must be positive and finite, got {sigma!r}"
            )
        check_steps("SmoothedClassifier", num_classes=num_classes)
        if num_classes < 2:
            raise ArgumentError(
                f"SmoothedClassifier: argument 'num_classes' must be at least 2, got {num_classes}"
            )
        self.model, self.sigma, self.num_classes, self.seed = model, sigma, num_classes, seed

    def predict(
        self,
        x: Any,
        n: int = 1000,
        alpha: float = 0.001,
        *,
        batch_size: int = 256,
        index: Any = None,
    ) -> np.ndarray:
        """Return the class of each sample, or -1 where the two best are too close to tell.

        Parameters
        ----------
        x : Tensor
            Images ``(N, ...)``.
        n : int, default 1000
            Noisy copies of each.
        alpha : float, default 0.001
            Chance of returning another class than the smoothed classifier's; between 0 and 1.
        batch_size : int, default 256
            Images in one pass of the model.
        index : array, optional
            Number of each sample in the data set, from which its noise follows; default 0 to N-1.

        Returns
        -------
        int64 array (N,)
        """
        x, numbers = self._check("predict", x, alpha, index, n=n, batch_size=batch_size)
        classes = np.full(len(x), ABSTAIN)
        with isolated(self.model, self.seed):
            for i, sample in self._samples("predict", x):
                counts = self._counts(sample, numbers[i], PREDICT, n, batch_size)
                second, first = np.argsort(counts, kind="stable")[-2:]
                if binomial.fair_coin(counts[first], counts[first] + counts[second]) <= alpha:
                    classes[i] = first
        return classes

    def certify(
        self,
        x: Any,
        n0: int = 100,
        n: int = 10_000,
        alpha: float = 0.001,
        batch_size: int = 256,
        *,
        index: Any = None,
    ) -> Certificates:
        """Return the class of each sample, and an L2 radius within which it stays the same.

        Parameters
        ----------
        x : Tensor
            Images ``(N, ...)``.
        n0 : int, default 100
            Noisy copies from which the candidate class is chosen.
        n : int, default 10000
            Other copies, from which the probability of the candidate is bounded. If all of them
            agree, the radius is ``sigma * quantile(alpha ** (1 / n))``: no radius is larger.
        alpha : float, default 0.001
            Chance that the class or the radius of a sample is wrong; between 0 and 1.
        batch_size, index
            As for :meth:`predict`.

        Returns
        -------
        Certificates
        """
        x, numbers = self._check("certify", x, alpha, index, n0=n0, n=n, batch_size=batch_size)
        classes, radius, p_lower = np.full(len(x), ABSTAIN), np.zeros(len(x)), np.zeros(len(x))
        with isolated(self.model, self.seed):
            for i, sample in self._samples("certify", x):
                guess = int(self._counts(sample, numbers[i], SELECT, n0, batch_size).argmax())
                counts = self._counts(sample, numbers[i], ESTIMATE, n, batch_size)
                p_lower[i] = binomial.lower_bound(int(counts[guess]), n, alpha)
                if p_lower[i] > 0.5:
                    classes[i] = guess
                    radius[i] = self.sigma * NormalDist().inv_cdf(p_lower[i])
        return Certificates(classes, radius, p_lower)

    def _samples(self, name: str, x: Any) -> Iterator[tuple[int, Any]]:
        """Yield each sample and its position, beside a progress bar."""
        with progress_bar(len(x), 0, name, unit="image", delay=1) as bar:
            for i in range(len(x)):
                yield i, x[i]
                bar.update()

    def _counts(self, x: Any, index: int, purpose: int, n: int, batch_size: int) -> np.ndarray:
        """Return how often each class wins among ``n`` noisy copies of one sample."""
        counts = np.zeros(self.num_classes, np.int64)
        noise, blocks = x.new_zeros((0, *x.shape)), 0
        for start in range(0, n, batch_size):
            size = min(batch_size, n - start)
            parts = [noise]
            while sum(map(len, parts)) < size:
                parts.append(self._noise(x, index, purpose, blocks))
                blocks += 1
            noise = cat(parts) if len(parts) > 1 else parts[0]
            with no_grad():
                logits = self.model(x + noise[:size] * self.sigma)
            noise = noise[size:]
            if tuple(logits.shape) != (size, self.num_classes):
                raise ShapeError(
                    f"SmoothedClassifier: the model must return logits of shape "
                    f"{(size, self.num_classes)}, got {tuple(logits.shape)}"
                )
            votes = logits.argmax(1).numpy(force=True)
            counts += np.bincount(votes, minlength=self.num_classes)
        return counts

    def _noise(self, x: Any, index: int, purpose: int, block: int) -> Any:
        """Return a block of standard normal noise in the shape of a sample."""
        key = (self.seed & random.WORD) | crc32(b"smoothing") << 32
        stream, draw = random.Stream.ATTACK | purpose << 8, int(index) << 32 | block
        numbers = random.normal(
            x.device.backend, (BLOCK, *x.shape), x.dtype.name, key, stream, draw
        )
        return as_tensor(numbers, device=x.device)

    def _check(
        self, method: str, x: Any, alpha: float, index: Any, **counts: int
    ) -> tuple[Any, np.ndarray]:
        name = f"SmoothedClassifier.{method}"
        check_steps(name, **counts)
        if not 0 < alpha < 1:
            raise ArgumentError(f"{name}: argument 'alpha' must be between 0 and 1, got {alpha!r}")
        x = check_images(name, x)
        return x, sample_numbers(index, len(x))
