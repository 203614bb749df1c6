"""Mixed precision: autocast, loss scaling, and custom functions that know of it.

:doc:`/guide/mixed_precision` shows them together.
"""

from ..autograd import autocast, is_autocast_available
from .custom import custom_bwd, custom_fwd
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
