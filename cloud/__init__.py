"""The reasoning backend: the same API as the edge, answered by model providers."""

import os

# Before NumPy is loaded: a product of a few thousand rows takes ten times the CPU when OpenBLAS shares it
# out among threads that wait for each other by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
