"""Loss scaling: gradients that float16 would lose are brought into its range, and back.

Everything that depends on the gradients (the scale, whether one of them was infinite) is a tensor
on the device, and the next scale is computed there: no step has to wait for a number.
"""

from __future__ import annotations

import warnings
import weakref
from typing import Any

from ..autograd import TensorBase, is_autocast_available, no_grad
from ..autograd.inplace import written
from ..backend.dtypes import float16
from ..errors import ArgumentError, DTypeError, StateDictError
from ..ops import ones, tensor

READY, UNSCALED, STEPPED = range(3)
#: All scalers there are: a recording that fails puts them back to where they were.
alive: weakref.WeakSet[GradScaler] = weakref.WeakSet()


class GradScaler:
    """Scales the loss up before the backward pass, and the gradients down before the step.

    A gradient below 6e-8 is 0 in float16, one above 65504 infinite. So the loss is multiplied by a
    scale as large as it may be: a step with an infinite gradient is left out and makes the scale
    smaller, a run of steps without one makes it larger. bfloat16 has the range of float32 and needs
    none of this. Micikevicius et al., "Mixed precision training", ICLR 2018, arXiv:1710.03740.

    Parameters
    ----------
    device : str, default "cuda"
        Type of the device; where there is none, a warning says that nothing is scaled.
    init_scale : float, default 65536
        The first scale.
    growth_factor : float, default 2
        What the scale is multiplied by after ``growth_interval`` steps without an infinite
        gradient; above 1.
    backoff_factor : float, default 0.5
        What it is multiplied by after a step that was left out; below 1.
    growth_interval : int, default 2000
        See above.
    enabled : bool, default True
        ``False`` makes every method do what a script without a scaler would.

    Raises
    ------
    ArgumentError
        If a factor is on the wrong side of 1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> weight = tc.nn.Parameter(tc.tensor([2.0]))
    >>> optimizer, scaler = tc.optim.SGD([weight], lr=0.1), tc.amp.GradScaler("cpu")
    >>> scaler.scale((weight * weight).sum()).backward()
    >>> weight.grad
    tensor([262144.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> weight.grad.item(), round(weight.item(), 4)
    (4.0, 1.6)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and not is_autocast_available(device):
            warnings.warn(
                f"GradScaler: device {device!r} cannot be had; nothing is scaled", stacklevel=2
            )
            enabled = False
        if enabled and growth_factor <= 1:
            raise ArgumentError(f"GradScaler: growth_factor must be above 1, got {growth_factor}")
        if enabled and backoff_factor >= 1:
            raise ArgumentError(f"GradScaler: backoff_factor must be below 1, got {backoff_factor}")
        self._device, self._enabled = device, bool(enabled)
        self._init_scale, self._init_growth_tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        #: The scale, and steps since it changed; made on the device of the first loss.
        self._scale: Any = None
        self._growth_tracker: Any = None
        #: What has been done with the gradients of each optimizer since the last update.
        self._stages: dict[int, int] = {}
        #: 1 where an optimizer has an infinite gradient, by device.
        self._found: dict[int, dict[Any, Any]] = {}
        alive.add(self)

    # -- one step ---------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """Return a loss, or a list or tuple of them, times the scale.

        Parameters
        ----------
        outputs : Tensor, or list or tuple of Tensor
            Losses.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, TensorBase):
            return outputs * self._scale_on(outputs.device)
        if isinstance(outputs, list | tuple):
            return type(outputs)(self.scale(output) for output in outputs)
        raise DTypeError(
            "GradScaler: scale() takes a tensor, or a list or tuple of tensors, got "
            f"{type(outputs).__name__}"
        )

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, in place.

        :meth:`step` does it where it was not done before. Call it to look at the gradients or to
        clip them.

        Raises
        ------
        ArgumentError
            If it was called before since the last :meth:`update`, or after :meth:`step`.
        DTypeError
            If a gradient is float16: then so is its parameter, and divided it could be lost.
        """
        if not self._enabled:
            return
        stage = self._stages.get(id(optimizer), READY)
        if stage is not READY:
            done = "unscale_() was called" if stage is UNSCALED else "unscale_() comes after step()"
            raise ArgumentError(f"GradScaler: {done} already for this optimizer; update() is next")
        if self._scale is None:
            raise ArgumentError("GradScaler: nothing was scaled yet; call scale(loss) first")
        with no_grad():
            self._found[id(optimizer)] = self._unscale(optimizer)
        self._stages[id(optimizer)] = UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call ``optimizer.step(*args, **kwargs)``, unless one of its gradients is not finite.

        An optimizer whose class has a true ``_step_supports_amp_scaling`` is called always, with
        the attribute ``found_inf``, a 0-d float32 tensor that is 1 where its step must change
        nothing: so nobody waits for the device. ``grad_scale``, which PyTorch's optimizers of the
        kind look at, is ``None``, as the gradients are divided before. On a GPU all optimizers
        with a kernel of their own are of this kind: SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta.

        Returns
        -------
        Any
            What the step returned; ``None`` if it was left out before it began.

        Raises
        ------
        ArgumentError
            If it was called before since the last :meth:`update`, with a closure, or if there is no
            gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or any(callable(arg) for arg in args):
            raise ArgumentError("GradScaler: step() takes no closure: each call would need a scale")
        if self._stages.get(id(optimizer)) is STEPPED:
            raise ArgumentError(
                "GradScaler: step() was called already for this optimizer; update() is next"
            )
        if self._stages.get(id(optimizer), READY) is READY:
            self.unscale_(optimizer)
        found = self._found[id(optimizer)]
        if not found:
            raise ArgumentError("GradScaler: step() of an optimizer without gradients")
        self._stages[id(optimizer)] = STEPPED
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            optimizer.grad_scale, optimizer.found_inf = None, self._total(found)
            try:
                return optimizer.step(*args, **kwargs)
            finally:
                del optimizer.grad_scale, optimizer.found_inf
        if any(flag.item() for flag in found.values()):
            return None
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Choose the next scale, after the steps of all optimizers.

        Parameters
        ----------
        new_scale : float or Tensor, optional
            The next scale; default as the factors say.

        Raises
        ------
        ArgumentError
            If there was no step since the last update, and no scale is given.
        """
        if not self._enabled:
            return
        if self._scale is None:
            raise ArgumentError("GradScaler: nothing was scaled yet; call scale(loss) first")
        with no_grad():
            if new_scale is not None:
                self._scale.fill_(new_scale)
            else:
                flags = [flag for found in self._found.values() for flag in found.values()]
                if not flags:
                    raise ArgumentError("GradScaler: update() without a step since the last one")
                found = self._total(dict(enumerate(flags)))
                # In place: a recorded step finds them where they were.
                with written("GradScaler.update", [self._scale, self._growth_tracker]) as arrays:
                    self._scale.device.backend.next_scale(
                        *arrays, found.array, float(self._growth_factor),
                        float(self._backoff_factor), self._growth_interval,
                    )  # fmt: skip
        self._stages.clear()
        self._found.clear()

    def _unscale(self, optimizer: Any) -> dict[Any, Any]:
        """Divide all gradients; return by device whether one was not finite, as 0 or 1."""
        grads: dict[Any, list[Any]] = {}
        for group in optimizer.param_groups:
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if grad.dtype is float16:
                    raise DTypeError(
                        "GradScaler: a gradient is float16; keep parameters in float32, and let "
                        "autocast compute in float16"
                    )
                grads.setdefault(grad.device, []).append(grad)
        found = {}
        for device, together in grads.items():
            scale = self._scale_on(device)
            with written("GradScaler.unscale_", together) as arrays:
                found[device] = scale.wrap(device.backend.unscale(arrays, scale.array))
        return found

    def _total(self, found: dict[Any, Any]) -> Any:
        """Return the largest of some flags, on the device of the scale."""
        flags = [flag.to(self._scale.device) for flag in found.values()]
        total = flags[0]
        for flag in flags[1:]:
            total = total.maximum(flag)
        return total

    def _scale_on(self, device: Any) -> Any:
        """Return the scale as a tensor on a device; the first device is the scale's own."""
        if self._scale is None:
            self._scale = ones((), device=device) * self._init_scale
            self._growth_tracker = tensor(self._init_growth_tracker, device=device)
        return self._scale.to(device)

    def progress(self) -> tuple[Any, ...]:
        """Return what is known to the host of the step that is under way."""
        return dict(self._stages), dict(self._found), self._scale, self._growth_tracker

    def go_back(self, progress: tuple[Any, ...]) -> None:
        """Forget what was done since :meth:`progress`."""
        self._stages, self._found, self._scale, self._growth_tracker = progress

    # -- settings and state -----------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Return whether the scaler does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """Return the scale, 1 if nothing is scaled; waits for the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        """Return what the scale is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by when it grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return what the scale is multiplied by after an infinite gradient."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by after an infinite gradient."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return after how many steps without an infinite gradient the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many steps without an infinite gradient the scale grows."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """Return the scale, the factors, and how many steps went well, as plain numbers.

        Empty where the scaler is not enabled. Call it after :meth:`update`.
        """
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": (
                self._init_growth_tracker
                if self._growth_tracker is None
                else self._growth_tracker.item()
            ),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; a scaler that is not enabled ignores it.

        Raises
        ------
        StateDictError
            If it is of a scaler that was not enabled, or lacks an entry.
        """
        if not self._enabled:
            return
        names = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
        if not names <= set(state_dict):
            raise StateDictError(
                f"GradScaler: the state dict must have {', '.join(sorted(names))}, got "
                f"{', '.join(sorted(state_dict)) or 'nothing'}; was it saved by a scaler that was "
                "not enabled?"
            )
        self._init_scale = float(state_dict["scale"])
        self._init_growth_tracker = int(state_dict["_growth_tracker"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None:
            device, self._scale = self._scale.device, None
            self._scale_on(device)
