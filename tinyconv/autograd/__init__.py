"""The define-by-run graph. Knows tensors and functions, but no particular function."""

from . import debug, functional, profiler
from .anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from .autocast import (
    autocast,
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_enabled,
)
from .checkpoint import checkpoint, checkpoint_sequential
from .engine import backward, grad
from .function import Function
from .gradcheck import gradcheck, gradgradcheck
from .graph import draw, show
from .hooks import RemovableHandle
from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    is_recomputing,
    no_grad,
    set_grad_enabled,
)
from .observer import Observer, module_scope
from .relays import once_differentiable
from .saved import saved_tensors_hooks
from .tensor_base import TensorBase

debug.follow_setting()

__all__ = [
    "Function",
    "Observer",
    "RemovableHandle",
    "TensorBase",
    "autocast",
    "backward",
    "checkpoint",
    "checkpoint_sequential",
    "clear_autocast_cache",
    "detect_anomaly",
    "draw",
    "enable_grad",
    "functional",
    "get_autocast_dtype",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "is_autocast_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "is_recomputing",
    "module_scope",
    "no_grad",
    "once_differentiable",
    "profiler",
    "saved_tensors_hooks",
    "set_detect_anomaly",
    "set_grad_enabled",
    "show",
]
