"""Who answers: an OpenAI-compatible service, a model in this process, a script."""
