"""The node near the clients: answers what it can, forwards the rest."""
