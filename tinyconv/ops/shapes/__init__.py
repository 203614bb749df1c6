"""The same elements in other shapes, places and memory."""
