"""The cloud's side of what stands outside it: databases, caches, indexes."""
