"""The fault catalogue, against the real daemon, a real RabbitMQ and a real database; and the proof of what came of it.

A run of one fault: a sender writes a history of all it attempts while the fault is injected and
healed; the backlog drains; the evidence (history, queues, database, logs) is collected; the
checker, which shares no code with the daemon, judges it. `bin/chaos` is the way in.
"""
