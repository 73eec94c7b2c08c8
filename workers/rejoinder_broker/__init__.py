"""What carries messages between servers and workers: the Broker port and its two implementations."""
