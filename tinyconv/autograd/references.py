"""Whether an object is held by one variable only, and so may be given away without a copy.

CPython counts references. How many there are while one local variable holds an object, seen from
inside a call, differs between versions of Python, so it is measured here once. An interpreter
that counts nothing makes every object look shared, which costs copies and nothing else.
"""

from __future__ import annotations

import sys
from typing import Any


def _unknown(_: Any) -> int:
    return sys.maxsize


count = getattr(sys, "getrefcount", _unknown)


def _measure() -> int:
    held = object()
    return int(count(held)) if count is not _unknown else 0


#: ``count(x) <= SOLE`` says that the local variable ``x`` holds the only reference.
SOLE = _measure()
