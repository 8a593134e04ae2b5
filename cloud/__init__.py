"""The reasoning backend: the same API as the edge, answered by model providers."""
