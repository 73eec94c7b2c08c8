"""The Python SDK and command line."""
