"""Training, fitting and measuring the bundles the edge serves."""
