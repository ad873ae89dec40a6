"""Commands that watch a proxy at work."""
