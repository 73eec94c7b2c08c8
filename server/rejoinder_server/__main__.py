"""Runs `rejoinder-server` as `python -m rejoinder_server`."""

from rejoinder_server.command import main

main()
