"""Where operations are kept: the Store port and its two implementations."""
