"""Measurements of UDFs: calls, and source languages beside their native interpreters."""
