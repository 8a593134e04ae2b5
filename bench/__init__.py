"""Measures Wayside and the peers a user would pick instead: `python -m bench --help`."""
