"""``python -m tinyconv``: train a first network, look at its predictions, the set-up, compile."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
