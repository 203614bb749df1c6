"""Saving and loading: one safetensors file, written atomically and verified by a checksum.

No file is ever unpickled, so loading one cannot run code.
"""

from .files import load, save

__all__ = ["load", "save"]
