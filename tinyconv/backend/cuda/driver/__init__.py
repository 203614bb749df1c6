"""The GPU itself: whether there is one, its arrays and memory, kernels compiled and launched."""
