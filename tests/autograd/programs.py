"""Small random programs with views and in-place ops, to run in tinyconv and in PyTorch alike."""

import random

import numpy as np

LEAVES = {"a": (2, 3), "b": (2, 3), "c": (3,)}


def make(seed, reshaping=False):
    """Return a program: instructions on numbered variables of known shape.

    Variables 0 to 2 are the leaves a, b (require gradients) and c (does not), 3 is ``a * 1``. With
    ``reshaping``, variables may get another shape in place.
    """
    rng = random.Random(seed)
    shapes = [(2, 3), (2, 3), (3,), (2, 3)]
    program = []
    for _ in range(rng.randint(3, 9)):
        source = rng.randrange(len(shapes))
        shape = shapes[source]
        kinds = ["view", "view", "in_place", "in_place", "in_place", "op", "detach"]
        kind = rng.choice(kinds + ["reshape_"] * 3 if reshaping else kinds)
        if kind == "in_place" and source < 2 and rng.random() < 0.9:
            kind = "op"  # the leaves a and b refuse; a program that raises at once shows little
        if kind == "view":
            name, args, new = _view(rng, shape)
            program.append(("view", source, name, args))
            shapes.append(new)
        elif kind == "reshape_":
            if source < 3 and rng.random() < 0.9:
                continue  # a and b refuse
            name = rng.choice(["t_", "transpose_", "unsqueeze_", "squeeze_"])
            name = "unsqueeze_" if name in ("t_", "transpose_") and len(shape) != 2 else name
            dims = {"transpose_": (0, 1), "unsqueeze_": (rng.randrange(len(shape) + 1),)}
            program.append(("reshape_", source, name, dims.get(name, ())))
            shapes[source] = np.zeros(shape).squeeze().shape if name == "squeeze_" else (
                np.expand_dims(np.zeros(shape), dims[name]).shape if name == "unsqueeze_"
                else shape[::-1]
            )  # fmt: skip
        elif kind == "detach":
            program.append(("detach", source, rng.random() < 0.5, None))
            shapes.append(shape)
        else:
            name = rng.choice(["mul", "add", "exp", "sigmoid", "number", "zero", "copy", "square"])
            fits = [i for i, s in enumerate(shapes) if s == shape]
            other = rng.choice(fits) if name in ("mul", "add", "copy") else None
            if kind == "op":
                name = {"zero": "exp", "copy": "add"}.get(name, name)
                other = source if name == "add" and other is None else other
                shapes.append(shape)
            no_grad = kind == "in_place" and rng.random() < 0.1
            program.append((kind, source, name, (other, no_grad)))
    return program


def _view(rng, shape):
    choices = [("reshape", (int(np.prod(shape)),))]
    if len(shape) == 2:
        choices += [("transpose", None), ("row", rng.randrange(shape[0]))]
    if shape and shape[0] > 1:
        choices.append(("slice", rng.randrange(shape[0] - 1)))
    name, args = rng.choice(choices)
    new = {
        "reshape": args,
        "transpose": shape[::-1],
        "row": shape[1:],
        "slice": (shape[0] - 1 - args if name == "slice" else 0, *shape[1:]),
    }[name]
    return name, args, new


def run(program, leaves, no_grad):
    """Run a program and return all its variables; ``leaves`` are a, b, c."""
    variables = [*leaves, leaves[0] * 1]
    for kind, source, name, args in program:
        x = variables[source]
        if kind == "view":
            variables.append(_apply_view(x, name, args))
        elif kind == "reshape_":
            getattr(x, name)(*args)
        elif kind == "detach":
            if name:
                variables.append(x.detach())
            else:
                with no_grad():
                    variables.append(x.reshape((1, *x.shape))[0])
        else:
            other, silent = args
            other = None if other is None else variables[other]
            if kind == "op":
                variables.append(_op(x, name, other))
            elif silent:
                with no_grad():
                    _in_place(x, name, other)
            else:
                _in_place(x, name, other)
    return variables


def _apply_view(x, name, args):
    if name == "reshape":
        return x.reshape(args)
    if name == "transpose":
        return x.transpose(0, 1)
    return x[args] if name == "row" else x[args : x.shape[0] - 1]


def _op(x, name, other):
    if name == "mul":
        return x * other
    if name == "add":
        return x + other
    if name == "number":
        return x * 3
    if name == "square":
        return x * x
    return getattr(x, name)()


def _in_place(x, name, other):
    if name == "mul":
        x.mul_(other)
    elif name == "add":
        x.add_(other)
    elif name == "number":
        x.mul_(3)
    elif name == "square":
        x.mul_(x)
    elif name == "zero":
        x.zero_()
    elif name == "copy":
        x.copy_(other)
    else:
        getattr(x, name + "_")()


def describe(program):
    """Return the program as text, for the message of a failed test."""
    return "\n".join(f"v{n}: {step}" for n, step in enumerate(program))
