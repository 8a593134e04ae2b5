"""What agents can have done: built-in tools, databases, MCP servers."""
