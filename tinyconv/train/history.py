"""What happened in each epoch, as rows of a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ..serialization.atomic import atomic_write


class History:
    """One row an epoch: loss and accuracy in training and validation, rate and seconds.

    Attributes
    ----------
    rows : list of dict
        In the order of the epochs; every row has the same keys.
    """

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = [] if rows is None else list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[Any]:
        """Return one value an epoch, such as ``history.column("val_accuracy")``."""
        return [row[name] for row in self.rows]

    def save(self, path: str | Path) -> None:
        """Write the rows as a CSV file, whole or not at all."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]) if self.rows else ["epoch"])
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        data = text.getvalue().encode()
        atomic_write(path, lambda file: file.write(data), len(data))
