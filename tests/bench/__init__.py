"""The benchmark: swexchange against RabbitMQ's shovel and a plain program. Run by bin/bench, not by pytest."""
