"""Logs, metrics and the service manager: the one place where what happened is told."""
