"""Measurements: `python -m benches`. Method and reading in README.md beside this file."""
