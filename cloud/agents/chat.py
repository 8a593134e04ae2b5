"""Conversation: the caller's request as it is, one call, no tools."""

from cloud.agents.agent import Agent

CHAT = Agent(name="chat", about="talks, writes, explains")
