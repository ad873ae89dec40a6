"""Rates of the last minutes, and their charts."""
