"""Recurrent cells: one step in time, for loops of one's own."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..autograd import TensorBase
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops import empty, zeros
from ..ops.sequences.recurrent import Gru, Lstm, RnnRelu, RnnTanh, recurrence
from . import functional as F
from . import init
from ._arguments import choice, positive
from .module import Module
from .parameter import Parameter


class _Cell(Module):
    """Parameters of a cell, and a step; subclasses say which formulas, and how many gates."""

    gates: ClassVar[int]
    #: What the state is made of.
    states: ClassVar[tuple[str, ...]] = ("hx",)
    cell: Any

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = positive(name, "input_size", input_size)
        self.hidden_size = positive(name, "hidden_size", hidden_size)
        self.bias = bool(bias)
        new = {"device": device, "dtype": dtype}
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, **new))
        self.weight_hh = Parameter(empty(rows, hidden_size, **new))
        for key in ("bias_ih", "bias_hh"):
            self.register_parameter(key, Parameter(empty(rows, **new)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniformly on +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Return the state after one step.

        Parameters
        ----------
        input : Tensor (N, input_size) or (input_size,)
            Of the dtype of the parameters.
        hx : Tensor (N, hidden_size) or (hidden_size,), in an LSTM a pair of them, optional
            The state before; default 0.

        Raises
        ------
        ShapeError
            If a size differs.
        """
        self._check("input", input, (self.input_size,))
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        shape = (x.array.shape[0], self.hidden_size)
        if hx is None:
            state = [zeros(shape, dtype=x.dtype, device=x.device) for _ in self.states]
        else:
            state = self._given(hx, shape, batched)
        gates = F.linear(x, self.weight_ih, self.bias_ih).unsqueeze(0)
        pair = (state[0], state[1] if len(state) == 2 else None)
        _, after = recurrence(self.cell, gates, pair, self.weight_hh, self.bias_hh)
        result = tuple([s if batched else s.squeeze(0) for s in after if s is not None])
        return result if len(result) == 2 else result[0]

    def _given(self, hx: Any, shape: tuple[int, int], batched: bool) -> list[Any]:
        """Return the states given with a batch dimension, or raise if they do not fit."""
        states = hx if len(self.states) == 2 else (hx,)
        if isinstance(states, TensorBase) or len(states) != len(self.states):
            raise ArgumentError(f"{type(self).__name__}: hx must be a pair (h, c)")
        for name, state in zip(self.states, states, strict=True):
            self._check(name, state, shape if batched else shape[1:])
        return [state if batched else state.unsqueeze(0) for state in states]

    def _check(self, name: str, value: Any, shape: tuple[int, ...]) -> None:
        """Raise unless a tensor has a shape; an input may have a batch dimension in front."""
        cell, dtype = type(self).__name__, self.weight_ih.dtype
        if not isinstance(value, TensorBase) or value.dtype != dtype:
            what = value.dtype if isinstance(value, TensorBase) else type(value).__name__
            raise DTypeError(f"{cell}: {name} must be a Tensor of {dtype}, got {what}")
        found, is_input = tuple(value.array.shape), name == "input"
        if not (found == shape or (is_input and len(found) == 2 and found[1:] == shape)):
            expected = f"(N, {shape[0]}) or {shape}" if is_input else shape
            raise ShapeError(f"{cell}: {name} must have shape {expected}, got {found}")

    def mult_adds(self, input: Any, output: Any) -> int:
        """Return the number of multiply-adds of one call, for ``summary``."""
        rows = math.prod(input.shape[:-1])
        return rows * (math.prod(self.weight_ih.shape) + math.prod(self.weight_hh.shape))

    def extra_repr(self) -> str:
        """Return the sizes, and whether there is no bias."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """One step of :class:`RNN`: ``tanh(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh)``.

    Parameters
    ----------
    input_size, hidden_size : int
        Size of the input, and of h.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    nonlinearity : {"tanh", "relu"}
        What is applied to the sum.
    device, dtype : optional
        Of the parameters, which start uniform on +-1 / sqrt(hidden_size).

    Raises
    ------
    ArgumentError
        If a size is below 1, or ``nonlinearity`` unknown.

    Examples
    --------
    >>> import tinyconv as tc
    >>> cell, h = tc.nn.RNNCell(4, 8), None
    >>> for x in tc.zeros(5, 3, 4):
    ...     h = cell(x, h)
    >>> h.shape
    tinyconv.Size([3, 8])
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        choice("RNNCell", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    @property
    def cell(self) -> Any:
        """The formulas of the step."""
        return RnnTanh if self.nonlinearity == "tanh" else RnnRelu

    def extra_repr(self) -> str:
        """Return the sizes, and what is not the default."""
        relu = self.nonlinearity != "tanh"
        return super().extra_repr() + (f", nonlinearity={self.nonlinearity}" if relu else "")


class LSTMCell(_Cell):
    """One step of :class:`LSTM`; the state, given and returned, is a pair (h, c).

    Arguments as :class:`RNNCell`, without ``nonlinearity``.
    """

    gates = 4
    states = ("hx[0]", "hx[1]")
    cell = Lstm


class GRUCell(_Cell):
    """One step of :class:`GRU`; arguments as :class:`RNNCell`, without ``nonlinearity``."""

    gates = 3
    cell = Gru
