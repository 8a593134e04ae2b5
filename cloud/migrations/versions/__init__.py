"""One file a step; each part of the cloud has a branch of its own, and `heads` takes them all."""
