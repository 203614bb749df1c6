"""Recurrent layers: a cell goes along a sequence, in one direction or both, in several layers."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from ..autograd import TensorBase
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops import cat, empty, stack, zeros
from ..ops.sequences.recurrent import Gru, Lstm, RnnRelu, RnnTanh, recurrence
from . import functional as F
from . import init
from ._arguments import choice, positive
from .module import Module
from .parameter import Parameter


class _Recurrent(Module):
    """Layers and directions around a cell; subclasses say which, and how many gates it has."""

    gates: ClassVar[int]
    #: What the state is made of: h, and in an LSTM also c.
    states: ClassVar[tuple[str, ...]] = ("h_0",)
    cell: Any
    mode: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = positive(name, "input_size", input_size)
        self.hidden_size = positive(name, "hidden_size", hidden_size)
        self.num_layers = positive(name, "num_layers", num_layers)
        self.bias, self.batch_first = bool(bias), bool(batch_first)
        self.dropout, self.bidirectional = _probability(name, dropout), bool(bidirectional)
        if self.dropout and num_layers == 1:
            inherited = type(self).__init__ is _Recurrent.__init__
            warnings.warn(
                f"{name}: dropout={dropout} has no effect with num_layers=1: it is applied to the "
                "outputs of all layers but the last",
                stacklevel=2 if inherited else 3,
            )
        self.proj_size = positive(name, "proj_size", proj_size, low=0)
        if proj_size >= hidden_size:
            raise ArgumentError(
                f"{name}: proj_size={proj_size} must be smaller than hidden_size={hidden_size}"
            )
        for layer in range(num_layers):
            for suffix in self._suffixes():
                self._add_parameters(layer, suffix, device, dtype)
        self.reset_parameters()

    def _suffixes(self) -> tuple[str, ...]:
        """Return what the names of the parameters of each direction end in."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _add_parameters(self, layer: int, suffix: str, device: Any, dtype: Any) -> None:
        below = self._output_size() * len(self._suffixes()) if layer else self.input_size
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, below),
            "weight_hh": (rows, self._output_size()),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        for name, shape in shapes.items():
            parameter = Parameter(empty(shape, device=device, dtype=dtype))
            self.register_parameter(f"{name}_l{layer}{suffix}", parameter)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniformly on +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
        wanted = kinds[:2] + (kinds[2:4] if self.bias else []) + kinds[4:] * bool(self.proj_size)
        return [
            [getattr(self, f"{kind}_l{layer}{suffix}") for kind in wanted]
            for layer in range(self.num_layers)
            for suffix in self._suffixes()
        ]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Return the last layer's output at each time, and the last state of every layer.

        Parameters
        ----------
        input : Tensor (L, N, input_size), or (L, input_size) without a batch
            With ``batch_first``, (N, L, input_size).
        hx : Tensor, or in an LSTM pair of Tensor, optional
            First states of all layers and directions, (D * num_layers, N, size), or without the
            dimension N; default 0.

        Raises
        ------
        ShapeError
            If a size differs, or there is no time.
        DTypeError
            If the dtype differs from that of the parameters.
        """
        self._check_input(input)
        batched = input.ndim == 3
        x = input if batched else input.unsqueeze(1)
        if batched and self.batch_first:
            x = x.transpose(0, 1)
        states = self._first_states(x, hx, batched)
        last: list[Any] = []
        for layer in range(self.num_layers):
            if layer:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction, suffix in enumerate(self._suffixes()):
                first = states[layer * len(self._suffixes()) + direction]
                y, state = self._run(x, first, layer, suffix, bool(direction))
                outputs.append(y)
                last.append(state)
            x = cat(outputs, 2) if self.bidirectional else outputs[0]
        if not batched:
            x = x.squeeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        ends = tuple([stack([state[i] for state in last]) for i in range(len(self.states))])
        if not batched:
            ends = tuple([end.squeeze(1) for end in ends])
        return x, ends if len(ends) == 2 else ends[0]

    def _run(
        self, x: Any, state: tuple[Any, Any], layer: int, suffix: str, backwards: bool
    ) -> tuple[Any, tuple[Any, Any]]:
        """Go along the sequence in one layer and direction."""
        weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = (
            getattr(self, f"{kind}_l{layer}{suffix}", None)
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )
        gates = F.linear(x, weight_ih, bias_ih)
        return recurrence(self.cell, gates, state, weight_hh, bias_hh, weight_hr, backwards)

    def _check_input(self, input: Any) -> None:
        name = type(self).__name__
        if not isinstance(input, TensorBase) or input.dtype != self.weight_ih_l0.dtype:
            found = input.dtype if isinstance(input, TensorBase) else type(input).__name__
            raise DTypeError(
                f"{name}: input must be a Tensor of the dtype of the parameters, "
                f"{self.weight_ih_l0.dtype}, got {found}"
            )
        shape = tuple(input.array.shape)
        if len(shape) not in (2, 3) or shape[-1] != self.input_size:
            layout = "(N, L, input_size)" if self.batch_first else "(L, N, input_size)"
            raise ShapeError(
                f"{name}: input must be {layout} or (L, input_size) with "
                f"input_size={self.input_size}, got shape {shape}"
            )
        if shape[1 if len(shape) == 3 and self.batch_first else 0] == 0:
            raise ShapeError(f"{name}: input must have at least one time, got shape {shape}")

    def _first_states(self, x: Any, hx: Any, batched: bool) -> list[tuple[Any, Any]]:
        """Return h and c, or ``None``, of each layer and direction."""
        count = self.num_layers * len(self._suffixes())
        shapes = [
            (count, x.array.shape[1], size)
            for size in (self._output_size(), self.hidden_size)[: len(self.states)]
        ]
        if hx is None:
            hx = [zeros(shape, dtype=x.dtype, device=x.device) for shape in shapes]
        else:
            given = hx if len(self.states) == 2 else (hx,)
            hx = _checked(type(self).__name__, given, self.states, shapes, batched)
        parts = [state.unbind() for state in hx]
        return list(zip(parts[0], parts[1] if len(parts) == 2 else (None,) * count, strict=True))

    def flatten_parameters(self) -> None:
        """Do nothing: it puts weights side by side for cuDNN, where PyTorch's scripts call it."""

    def mult_adds(self, input: Any, output: Any) -> int:
        """Return the number of multiply-adds of one call, for ``summary``."""
        matrices = (math.prod(p.shape) for p in self.parameters() if p.ndim == 2)
        return math.prod(input.shape[:-1]) * sum(matrices)

    def extra_repr(self) -> str:
        """Return the sizes, and what is not the default."""
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
            "bidirectional": False,
        }  # fmt: skip
        found = [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *found])


class RNN(_Recurrent):
    """``h' = tanh(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh)`` along a sequence.

    Elman, "Finding structure in time" (1990).

    Parameters
    ----------
    input_size, hidden_size : int
        Size of an element of the sequence, and of h.
    num_layers : int, default 1
        Layers, each on the outputs of the one below.
    nonlinearity : {"tanh", "relu"}
        What is applied to the sum.
    bias : bool, default True
        Whether there are ``bias_ih_l0`` and ``bias_hh_l0``.
    batch_first : bool, default False
        Input and output are (N, L, size), not (L, N, size). States stay (D * num_layers, N, size).
    dropout : float, default 0.0
        Probability of a zero in the outputs of each layer but the last, in training.
    bidirectional : bool, default False
        Go along the sequence both ways, with parameters of their own, whose names end in
        ``_reverse``; the output is twice as wide (D = 2).
    device, dtype : optional
        Of the parameters, which start uniform on +-1 / sqrt(hidden_size).

    Raises
    ------
    ArgumentError
        If a size is below 1, ``dropout`` no probability, or ``nonlinearity`` unknown.

    Examples
    --------
    >>> import tinyconv as tc
    >>> output, h_n = tc.nn.RNN(4, 8, num_layers=2)(tc.zeros(5, 3, 4))
    >>> output.shape, h_n.shape
    (tinyconv.Size([5, 3, 8]), tinyconv.Size([2, 3, 8]))
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        choice("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device, dtype,
        )  # fmt: skip
        self.nonlinearity, self.mode = nonlinearity, f"RNN_{nonlinearity.upper()}"

    @property
    def cell(self) -> Any:
        """The formulas of one step."""
        return RnnTanh if self.nonlinearity == "tanh" else RnnRelu


class GRU(_Recurrent):
    """Gated recurrent unit: a gate z keeps a share of h, a gate r hides h from the new value n.

    ``h' = (1 - z) * n + z * h`` with ``n = tanh(W_in x + b_in + r * (W_hn h + b_hn))``; the rows
    of the parameters are those of r, z and n. Cho et al., "Learning phrase representations using
    RNN encoder-decoder" (2014). Arguments, input and output as :class:`RNN`.
    """

    gates = 3
    cell, mode = Gru, "GRU"


class LSTM(_Recurrent):
    """Long short-term memory: a state c that gates write, keep and read.

    ``c' = f * c + i * g`` and ``h' = o * tanh(c')``; the rows of the parameters are those of
    the gates i, f, g and o. The state is a pair (h, c), both as the argument ``hx`` and as what
    is returned beside the output. Hochreiter and Schmidhuber, "Long short-term memory" (1997).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in :class:`RNN`; ``hidden_size`` is that of c.
    proj_size : int, default 0
        If not 0, h is multiplied by ``weight_hr_l0`` (proj_size, hidden_size) and gets this
        smaller size; Sak et al., "Long short-term memory based recurrent neural network
        architectures for large vocabulary speech recognition" (2014).
    device, dtype : optional
        Of the parameters, which start uniform on +-1 / sqrt(hidden_size).

    Raises
    ------
    ArgumentError
        If a size is below 1, ``dropout`` no probability, or ``proj_size`` not below
        ``hidden_size``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> lstm = tc.nn.LSTM(4, 8, batch_first=True, bidirectional=True)
    >>> output, (h_n, c_n) = lstm(tc.zeros(3, 5, 4))
    >>> output.shape, h_n.shape, c_n.shape
    (tinyconv.Size([3, 5, 16]), tinyconv.Size([2, 3, 8]), tinyconv.Size([2, 3, 8]))
    """

    gates = 4
    states = ("h_0", "c_0")
    cell, mode = Lstm, "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device, dtype, proj_size,
        )  # fmt: skip


def _probability(name: str, dropout: Any) -> float:
    """Return a probability as a float, or raise ``ArgumentError``."""
    number = isinstance(dropout, int | float) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ArgumentError(f"{name}: dropout must be a number from 0 to 1, got {dropout!r}")
    return float(dropout)


def _checked(
    layer: str, hx: Any, names: tuple[str, ...], shapes: list[Any], batched: bool
) -> list[Any]:
    """Return the states given with a batch dimension, or raise if they do not fit."""
    if isinstance(hx, TensorBase) or len(hx) != len(names):
        raise ArgumentError(f"{layer}: hx must be a pair (h_0, c_0)")
    checked = []
    for name, state, shape in zip(names, hx, shapes, strict=True):
        wanted = shape if batched else (shape[0], shape[2])
        if not isinstance(state, TensorBase):
            raise DTypeError(f"{layer}: {name} must be a Tensor, got {type(state).__name__}")
        if tuple(state.array.shape) != wanted:
            raise ShapeError(
                f"{layer}: {name} must have shape {wanted}, got {tuple(state.array.shape)}"
            )
        checked.append(state if batched else state.unsqueeze(1))
    return checked
