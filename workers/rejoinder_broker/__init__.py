"""The broker port and its two implementations."""
