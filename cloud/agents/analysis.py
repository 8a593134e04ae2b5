"""Works on tables that the user supplies, and computes instead of guessing."""

from cloud.agents.agent import Agent

ANALYSIS = Agent(
    name="analysis",
    about="computes with tables in the conversation, with SQL, and draws charts of them",
    instructions=(
        "You analyse data. Tables that the user supplied can be queried: look at them with "
        "describe_tables, compute with run_sql (DuckDB), and never state a number that a tool did not "
        "return. Draw a chart only when asked for one. Say which query gave each number. If the data "
        "cannot answer the question, say so."
    ),
    tools=("describe_tables", "run_sql", "draw_chart", "calculate"),
)
