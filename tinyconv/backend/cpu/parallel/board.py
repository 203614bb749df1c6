"""The numbers through which threads see each other, and where each is.

A *board* is memory of int64 numbers that the caller of a region or job shares with the workers:
see :mod:`.region` and :mod:`.workers`. What one thread writes while others read has a cache line
(8 numbers) to itself.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

#: The number of the last call; the core of its caller; a number that stays 0.
CALL, CORE, ZERO = 0, 1, 2
#: Of a region: the address of its usher (0 if the call is a job), seats for helpers, the length of
#: the work and of a piece, and whether a piece has failed.
USHER, SEATS, LENGTH, STEP, FAILED = 8, 9, 10, 11, 12
#: Addresses of the functions that open a region, and that do its work.
OPEN, WORK = 13, 14
#: How many have come to the door; how many have left; the arguments of a kernel.
DOOR, LEFT, ARGUMENTS = 16, 24, 32
#: The cache line of seat 0; that of each seat says how many pieces of its share are taken, whether
#: its worker sleeps, and has the address of the lock on which it does.
FIRST_LINE, LINE, MOST_SEATS = 432, 8, 256
TAKEN, ASLEEP, LOCK = 0, 1, 2
SIZE = FIRST_LINE + LINE * MOST_SEATS
#: What is added to the number of those who came to the door, to shut it.
SHUT = 1 << 40

Board = tuple[memoryview, np.ndarray[Any, Any]]


def numbers_on_cache_lines(count: int) -> Board:
    """Return int64 zeros that start at a cache line: for Python, and for kernels."""
    memory = array("q", bytes(8 * (count + 8)))
    first = -memory.buffer_info()[0] // 8 % 8
    numbers = memoryview(memory)[first : first + count]  # faster to index than an array
    return numbers, np.frombuffer(numbers, np.int64)


def new_board() -> Board:
    """Return a board whose door is shut."""
    board = numbers_on_cache_lines(SIZE)
    board[0][DOOR] = SHUT
    return board
