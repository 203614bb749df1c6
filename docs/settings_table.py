"""The table of settings as Markdown: `python docs/settings_table.py` prints the rows in README."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tinyconv import config


def settings_table() -> str:
    """Return the table, made from the settings themselves."""
    lines = ["| variable | values | default | meaning |", "|---|---|---|---|"]
    for setting in config.SETTINGS.values():
        default = "unset" if setting.default is None else setting.default
        default = int(default) if isinstance(default, bool) else default
        lines.append(f"| `{setting.variable}` | {setting.legal} | {default} | {setting.meaning} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(settings_table())
