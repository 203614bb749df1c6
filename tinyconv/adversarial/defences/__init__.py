"""Defences: training, distillation, input transforms, and those with a proof."""
