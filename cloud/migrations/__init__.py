"""The schema, as steps from every released version forward."""
