"""What could lose or stop messages, judged from observed facts. Pure: broker, store and cli gather the facts."""
