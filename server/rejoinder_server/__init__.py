"""The Rejoinder server."""
