"""What ``tools/gpu_check.py`` does on a GPU, a stage a file."""
