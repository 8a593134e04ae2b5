"""Between the orchestrator and the model providers: breakers, retries, failover, one beginning per answer."""
