"""What the edge's ports stand on: models, disks, indexes, the network."""
