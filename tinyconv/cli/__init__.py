"""The command line: one file a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import TinyconvError
from . import attack, info, predict, train, warmup


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, or 2 after an error message."""
    parser = argparse.ArgumentParser(
        prog="python -m tinyconv", description="Convolutional networks from scratch."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (train, predict, attack, info, warmup):
        module.add_parser(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except TinyconvError as error:
        print(f"tinyconv {options.command}: error: {error}", file=sys.stderr)
        return 2
