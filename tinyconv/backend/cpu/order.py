"""Places of elements by their order, line by line; see the reference kernels.

A line is what lies along the axis. Lines are shared out among threads.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numba.extending import register_jitable

from .compiler.jit import kernel
from .layout import Array, lines_per_task, plain
from .memory import empty
from .parallel.threads import run_ranges

#: Lines side by side that are walked along together.
COLUMNS = 128


def cumulative_extreme(xp: Any, x: Array, axis: int, largest: bool) -> tuple[Array, Array]:
    """Return the largest, or smallest, element so far and its place; see the reference kernel."""
    outer, size, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    cube = plain(_comparable(x).reshape(outer, size, inner))
    values, places = empty(cube.size, cube.dtype), empty(cube.size, np.dtype(np.int64))
    values, places = values.reshape(cube.shape), places.reshape(cube.shape)
    if cube.size:
        blocks = -(-inner // COLUMNS)
        run_ranges(
            lambda a, b: walk_lines(cube, a, b, blocks, largest, values, places),
            outer * blocks, lines_per_task(outer * blocks, size * min(inner, COLUMNS)), merge=True,
        )  # fmt: skip
    return values.reshape(x.shape).astype(x.dtype, copy=False), places.reshape(x.shape)


def place_of_rank(xp: Any, x: Array, axis: int, rank: Array) -> Array:
    """Return where the elements of given ranks are; see the reference kernel."""
    lines = _lines(x, axis)
    ranks = plain(rank.astype(np.int64, copy=False)).reshape(-1)
    places = np.empty(rank.size, np.int64)
    run_ranges(
        lambda a, b: find_ranks(lines, ranks, a, b, places),
        len(lines), lines_per_task(*lines.shape), merge=True,
    )  # fmt: skip
    return places.reshape(rank.shape)


def place_of_mode(xp: Any, x: Array, axis: int) -> Array:
    """Return the last place of the most frequent element; see the reference kernel."""
    lines = _lines(x, axis)
    places = np.empty(len(lines), np.int64)
    run_ranges(
        lambda a, b: find_modes(lines[a:b], np.sort(lines[a:b], axis=1), places[a:b]),
        len(lines), lines_per_task(*lines.shape), merge=True,
    )  # fmt: skip
    return places.reshape(*x.shape[:axis], 1, *x.shape[axis + 1 :])


def _comparable(x: Array) -> Array:
    """Return the array in one of three dtypes, in which its elements compare as they do in it."""
    if x.dtype.kind != "f":
        return x.astype(np.int64, copy=False)
    small = x.dtype.itemsize <= 4
    return x.astype(np.float32 if small else np.float64, copy=False)


def _lines(x: Array, axis: int) -> Array:
    """Return the array as (lines, size)."""
    moved = np.moveaxis(x, axis, -1)
    return plain(_comparable(moved).reshape(prod(moved.shape[:-1]), x.shape[axis]))


@kernel
def walk_lines(x, first, last, blocks, largest, values, places):
    """Write the extremes so far of blocks of lines of x, which is (outer, size, inner)."""
    _, size, inner = x.shape
    for number in range(first, last):
        o, start = number // blocks, number % blocks * COLUMNS
        end = min(start + COLUMNS, inner)
        if inner == 1:
            walk_line(x[o, :, 0], largest, values[o, :, 0], places[o, :, 0])
            continue
        for c in range(start, end):
            values[o, 0, c], places[o, 0, c] = x[o, 0, c], 0
        for i in range(1, size):
            for c in range(start, end):
                old, new = values[o, i - 1, c], x[o, i, c]
                beats = new >= old if largest else new <= old
                wins = (new != new) | ((old == old) & beats)
                values[o, i, c] = new if wins else old
                places[o, i, c] = i if wins else places[o, i - 1, c]


@register_jitable
def walk_line(x, largest, values, places):
    """Write the extremes so far of one line."""
    old, place = x[0], 0
    for i in range(len(x)):
        new = x[i]
        beats = new >= old if largest else new <= old
        if (new != new) | ((old == old) & beats):
            old, place = new, i
        values[i], places[i] = old, place


@kernel
def find_ranks(lines, ranks, first, last, places):
    """Write where the elements of given ranks are in lines; NaN comes after all numbers."""
    size = lines.shape[1]
    numbers = np.empty(size, lines.dtype)
    for i in range(first, last):
        line, rank, count = lines[i], ranks[i], 0
        for j in range(size):
            numbers[count] = line[j]
            count += line[j] == line[j]
        if rank >= count:
            places[i] = occurrence_of_nan(line, rank - count)
            continue
        wanted = selected(numbers, count, rank)
        below = 0
        for j in range(size):
            below += line[j] < wanted
        j = 0
        while line[j] != wanted or below != rank:
            below += line[j] == wanted
            j += 1
        places[i] = j


@register_jitable
def occurrence_of_nan(line, number):
    """Return where NaN number 0, 1 ... of a line is."""
    for j in range(len(line)):
        if line[j] != line[j]:
            if number == 0:
                return j
            number -= 1
    return 0


@register_jitable
def selected(numbers, count, rank):
    """Return the element of a rank among the first ``count``, which are put in another order.

    Hoare, "Algorithm 65: find", Communications of the ACM 4 (1961); the middle one of three is
    compared with.
    """
    low, high = 0, count - 1
    while low < high:
        a, b, c = numbers[low], numbers[(low + high) // 2], numbers[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while numbers[i] < pivot:
                i += 1
            while numbers[j] > pivot:
                j -= 1
            if i <= j:
                numbers[i], numbers[j] = numbers[j], numbers[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return numbers[rank]


@kernel
def find_modes(lines, ordered, places):
    """Write the last place of the most frequent element of lines, from their sorted copies."""
    size = lines.shape[1]
    for i in range(len(lines)):
        line, sorted_line = lines[i], ordered[i]
        start, most, mode = 0, 0, sorted_line[0]
        for j in range(1, size + 1):
            if j == size or sorted_line[j] != sorted_line[start]:
                if j - start > most:
                    most, mode = j - start, sorted_line[start]
                start = j
        place = size - 1
        while place > 0 and line[place] != mode:  # a mode that is NaN is alone: all are
            place -= 1
        places[i] = place
