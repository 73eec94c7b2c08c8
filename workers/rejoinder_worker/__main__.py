"""Runs `rejoinder-worker` as `python -m rejoinder_worker`."""

from rejoinder_worker.command import main

main()
