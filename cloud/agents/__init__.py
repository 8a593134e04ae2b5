"""The agents that come with Wayside; `[agents.NAME]` in the agents file adds to them or changes them."""

from cloud.agents.agent import Agent
from cloud.agents.analysis import ANALYSIS
from cloud.agents.chat import CHAT
from cloud.agents.fallback import FALLBACK
from cloud.agents.research import RESEARCH
from cloud.agents.summarizer import SUMMARIZER

SHIPPED: tuple[Agent, ...] = (CHAT, ANALYSIS, RESEARCH, SUMMARIZER, FALLBACK)
