"""Replay: what an operator plans, sees and runs again, and what other rules would change. docs/decisions/replay.md."""
