"""Recurrence and attention."""
