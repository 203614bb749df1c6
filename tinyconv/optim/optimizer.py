"""The base class of optimizers: parameter groups, state, and the loop over parameters.

An optimizer itself is one method: ``update`` does one step for one parameter, or ``update_all`` for
all parameters of a group at once, which is faster.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from ..autograd import TensorBase, enable_grad, no_grad
from ..autograd.memory import allocating
from ..autograd.pending import settle_all
from ..autograd.views import check_writable
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..ops import zeros_like
from .counting import count_on_host
from .hooks import (
    OptimizerHooks,
    passed_through,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
    with_step_hooks,
)
from .options import check_not_negative
from .state_dict import collect, load

__all__ = [
    "Optimizer",
    "arrays_of",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
]

_NO_STATE: dict[str, Any] = {}


class Optimizer(OptimizerHooks):
    """Base class of all optimizers.

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter), or of dict
        What to optimize: ``model.parameters()``, or ``model.named_parameters()`` to have the
        names in the state dict. A dict is a parameter group: ``params``, and options that
        override the defaults for these parameters.
    defaults : dict
        Options of groups that do not say otherwise, such as ``lr``.

    Attributes
    ----------
    param_groups : list of dict
        The groups, each with ``params``, with every option and, where the parameters came with
        names, with ``param_names``; may be changed between steps.
    state : dict of Parameter to dict
        What the optimizer remembers of each parameter.

    Raises
    ------
    ArgumentError
        If there are no parameters, one is in two groups, one is no leaf of the graph, or some
        have names and some have none.
    DTypeError
        If ``params`` is not as above.
    """

    #: What the state of a parameter holds as plain numbers; all else has the parameter's shape.
    state_numbers: ClassVar[dict[str, type]] = {"step": int}
    #: Whether a step is nothing but one kernel of the backend, given numbers of the host.
    is_one_kernel: ClassVar[bool] = False

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        super().__init__()
        self.defaults = defaults
        self.state: dict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.step_count = 0  # read by schedulers, which warn if they are stepped first
        #: Whether steps are counted on the device, see counting.py.
        self.counts_on_device = False
        #: During a step that the device may leave out: the array there that says so.
        self.flag: Any = None
        name = type(self).__name__
        if isinstance(params, TensorBase | set | frozenset) or not isinstance(params, Iterable):
            raise DTypeError(
                f"{name}: params must be an ordered iterable of parameters or dicts, got "
                f"{type(params).__name__}; pass a list, or model.parameters()"
            )
        groups = list(params)
        if not groups:
            raise ArgumentError(f"{name}: the optimizer got an empty parameter list")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __init_subclass__(cls) -> None:
        if "update" in vars(cls) or "update_all" in vars(cls):
            cls.is_one_kernel = vars(cls).get("is_one_kernel", False)
        # A subclass of SGD that defines update() wants it called.
        if "update" in vars(cls) and "update_all" not in vars(cls):
            cls.update_all = Optimizer.update_all  # type: ignore[method-assign]
        if "step" in vars(cls):
            cls.step = with_step_hooks(cls.step)  # type: ignore[method-assign]

    # -- groups -----------------------------------------------------------------------------

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own, as when layers are unfrozen.

        Parameters
        ----------
        param_group : mapping
            ``params``, and the options that differ from the defaults.
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise DTypeError(
                f"{type(self).__name__}: a parameter group must be a dict with the key 'params', "
                f"got {type(param_group).__name__}"
            )
        group = dict(param_group)
        params, names = self._split_names(group["params"])
        group["params"] = self._checked_params(params)
        if names:
            group["param_names"] = names
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ArgumentError(
                f"{type(self).__name__}: the parameters of all groups must have names, or none; "
                f"this group has {'some' if names else 'none'}"
            )
        for option, value in self.defaults.items():
            group.setdefault(option, value)
        self.check_options(group)
        self.param_groups.append(group)

    def _split_names(self, params: Any) -> tuple[list[Any], list[str]]:
        """Return parameters and, if they came as pairs of name and parameter, their names."""
        name = type(self).__name__
        if isinstance(params, set | frozenset):
            raise DTypeError(f"{name}: a set of parameters has no order; pass a list")
        params = [params] if isinstance(params, TensorBase) else list(params)
        pairs = [isinstance(param, tuple) and len(param) == 2 for param in params]
        if not any(pairs):
            return params, []
        if not all(pairs):
            raise ArgumentError(
                f"{name}: all parameters must have names, or none; "
                f"{pairs.count(False)} of {len(pairs)} have none"
            )
        return [param for _, param in params], [str(key) for key, _ in params]

    def _checked_params(self, params: list[Any]) -> list[Any]:
        name = type(self).__name__
        for param in params:
            if not isinstance(param, TensorBase):
                raise DTypeError(
                    f"{name}: can only optimize Tensors, one of the params is a "
                    f"{type(param).__name__}"
                )
            if not param.is_leaf:
                raise ArgumentError(
                    f"{name}: can't optimize a non-leaf Tensor of shape {tuple(param.shape)}; it "
                    "was computed from others, so optimize those"
                )
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                f"{name}: a parameter group holds a parameter twice; it is updated twice a step",
                stacklevel=4,
            )
        taken = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in taken for p in params):
            raise ArgumentError(f"{name}: some parameters appear in more than one parameter group")
        return params

    def check_options(self, group: dict[str, Any]) -> None:
        """Raise ``ArgumentError`` if an option of a group makes no sense; subclasses check more."""
        name = type(self).__name__
        check_not_negative(name, group, "lr", "eps", "weight_decay", "momentum")
        for beta in group.get("betas", ()):
            if not 0 <= beta < 1:
                raise ArgumentError(
                    f"{name}: betas must be at least 0 and less than 1, got {group['betas']}"
                )

    # -- one step ---------------------------------------------------------------------------

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether a step obeys ``found_inf`` on the device, so that GradScaler need not read it."""
        return (
            self.is_one_kernel
            and type(self).step is Optimizer.step
            and all(p.device.backend.records for g in self.param_groups for p in g["params"])
        )

    @with_step_hooks
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        If the optimizer has an attribute ``found_inf``, a 0-d float32 tensor, and it is not 0, then
        nothing changes; see :meth:`GradScaler.step <tinyconv.amp.GradScaler.step>`.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew; called once, before the step.

        Returns
        -------
        Tensor or None
            What ``closure`` returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        found_inf = getattr(self, "found_inf", None)
        if found_inf is None and self.counts_on_device:
            count_on_host(self)
        with no_grad():
            # Everything is checked before anything is written.
            work = [(self._with_gradients(group), group) for group in self.param_groups]
            settle_all()
            for params, group in work:
                for chosen in _together(params):
                    self._update_all(chosen, group, found_inf)
        self.step_count += 1
        return loss

    def _update_all(self, params: list[Any], group: dict[str, Any], found_inf: Any) -> None:
        """Do the step for parameters of a group that are on one device."""
        device, states = params[0].device, [self.state[param] for param in params]
        self.flag = None if found_inf is None else found_inf.to(device).array
        try:
            with allocating(f"{type(self).__name__}.step", device):
                self.update_all(params, [param.grad for param in params], states, group)
        finally:
            self.flag = None
        for param in params:
            param._bump_version()

    def _with_gradients(self, group: dict[str, Any]) -> list[Any]:
        """Return the parameters that have a gradient; raise if one does not fit."""
        params: list[Any] = []
        device, is_writable = None, None
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            array = param.array
            shape = array.shape
            if is_writable is None or param.device is not device:
                device = param.device
                is_writable = device.backend.is_writable
            if (
                grad.device is not device
                or grad.array.shape != shape
                or grad.array.dtype != array.dtype
            ):
                self._refuse(param, "its gradient", grad)
            if param._version is None or not is_writable(array):
                check_writable(type(self).__name__, param)
            for key, value in self.state.get(param, _NO_STATE).items():
                if (
                    isinstance(value, TensorBase)
                    and value.array.shape != shape
                    and key not in self.state_numbers
                ):
                    self._refuse(param, f"its state {key!r}", value)
            params.append(param)
        return params

    def _refuse(self, param: Any, what: str, other: Any) -> NoReturn:
        """Raise for a gradient or state that does not fit its parameter."""
        name = type(self).__name__
        mine, its = tuple(param.array.shape), tuple(other.array.shape)
        if mine != its:
            raise ShapeError(f"{name}: a parameter has shape {mine}, but {what} {its}")
        if param.device is not other.device:
            raise DeviceError(
                f"{name}: a parameter is on {param.device}, but {what} on {other.device}"
            )
        raise DTypeError(f"{name}: a parameter is {param.dtype}, but {what} {other.dtype}")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Do one step for one parameter: write into ``param.array``.

        Parameters
        ----------
        param, grad : Tensor
            The parameter and its gradient.
        state : dict
            What is remembered of it; empty before its first step.
        group : dict
            Its group, with every option.
        """
        for cls in type(self).__mro__:
            update_all = vars(cls).get("update_all", Optimizer.update_all)
            if update_all is not Optimizer.update_all:
                update_all(self, [param], [grad], [state], group)
                return
        raise AttributeError(f"{type(self).__name__} defines no update()")

    def update_all(
        self, params: Sequence[Any], grads: Sequence[Any], states: Sequence[Any], group: Any
    ) -> None:
        """Do one step for some parameters of a group, all on one device.

        Parameters
        ----------
        params, grads : sequence of Tensor
            The parameters, each once, and their gradients.
        states : sequence of dict
            What is remembered of each.
        group : dict
            Their group, with every option.
        """
        for param, grad, state in zip(params, grads, states, strict=True):
            self.update(param, grad, state, group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool, default True
            Set ``.grad`` to ``None``; ``False`` fills it with zeros.
        """
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.grad = None if set_to_none else zeros_like(param.grad)

    # -- state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return ``{"state": {number: {...}}, "param_groups": [{..., "params": [0, 1]}]}``.

        Parameters are numbered through in the order of the groups. Tensors are not copied. If
        the parameters came with names, each group has them as ``param_names``.
        """
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self)
        return passed_through(self._state_dict_post_hooks, self, collect(self))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned, for the same parameters in the same order.

        All is checked before anything changes. Tensors are copied, to the device and dtype of
        their parameter; options such as ``lr`` are replaced by those saved, and so are names:
        parameters are matched by their order alone.

        Raises
        ------
        StateDictError
            If the groups or the shapes of the state do not fit.
        """
        if self._load_state_dict_pre_hooks and isinstance(state_dict, Mapping):
            state_dict = passed_through(self._load_state_dict_pre_hooks, self, dict(state_dict))
        load(self, state_dict)
        for hook in list(self._load_state_dict_post_hooks.values()):
            hook(self)

    def with_step(self, state: dict[str, Any], step: int) -> dict[str, Any]:
        """Return the state of a parameter whose steps the device has counted, with their number."""
        return {**state, "step": step}

    def state_shape(self, param: Any) -> tuple[int, ...]:
        """Return the shape that tensors in the state of a parameter have."""
        return tuple(param.array.shape)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])


def arrays_of(tensors: Iterable[Any]) -> list[Any]:
    """Return the arrays of some tensors."""
    return [tensor.array for tensor in tensors]


def _together(params: list[Any]) -> Iterable[list[Any]]:
    """Return lists of parameters that one call of ``update_all`` may do."""
    if len({id(param) for param in params}) < len(params):  # one is there twice
        return [[param] for param in params]
    device = params[0].device if params else None
    if all(param.device is device for param in params):
        return [params] if params else []
    by_device: dict[int, list[Any]] = {}
    for param in params:
        by_device.setdefault(id(param.device), []).append(param)
    return by_device.values()
