"""Schedules of the learning rate: call ``step()`` once an epoch, after the optimizer's steps.

Each rule says how the rate of a group follows from the one before, so that rates changed by hand,
and several schedules on one optimizer, work together. The cyclic ones, :class:`CyclicLR` and
:class:`OneCycleLR`, are stepped once a batch; so may be the others, whose epochs are then batches.

To warm up, let the rate rise by :class:`LinearLR` for some epochs, and put the schedule that
follows behind it with :class:`SequentialLR`:

>>> import tinyconv as tc
>>> optimizer = tc.optim.SGD([tc.nn.Parameter(tc.ones(1))], lr=1.0)
>>> warm_up = tc.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
>>> main = tc.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
>>> scheduler = tc.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, main], milestones=[3])
>>> for epoch in range(8):
...     print(round(optimizer.param_groups[0]["lr"], 2), end=" ")
...     optimizer.step()
...     scheduler.step()
0.25 0.5 0.75 1.0 0.85 0.5 0.15 0.0
"""

from .base import LRScheduler
from .composition import ChainedScheduler, SequentialLR
from .cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from .cyclic import CyclicLR
from .functions import LambdaLR, MultiplicativeLR
from .one_cycle import OneCycleLR
from .plateau import ReduceLROnPlateau
from .ramps import ConstantLR, LinearLR, PolynomialLR
from .steps import ExponentialLR, MultiStepLR, StepLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
