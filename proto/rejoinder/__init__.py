"""The contract of Rejoinder: generated messages and stubs, and the protocol between servers and workers."""
