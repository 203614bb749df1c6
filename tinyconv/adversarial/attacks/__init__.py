"""Attacks: one file each, from one gradient step to ensembles; and what several of them share."""
