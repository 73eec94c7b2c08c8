"""What runs users' handlers."""
