"""How a process serves the contract, calls it, and is run: what both services share."""
