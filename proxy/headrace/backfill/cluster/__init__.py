"""Calls to the cluster: repeated while it is busy, bounded in memory, and the same in effect when they are repeated."""
