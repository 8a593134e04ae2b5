"""What the edge's ports stand on: models, disks, indexes, the network."""

# First of all: loaded after usearch (2.26), onnxruntime (1.32) takes the process down with it.
import onnxruntime  # noqa: F401
