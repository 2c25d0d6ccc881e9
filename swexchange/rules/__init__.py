"""routes.yaml, keys and schemas, made into the frozen Rulebook; its tests, and its hot reload.

Read `load.py` first. Nothing here decides about a message.
"""
