"""Stubs for the editors of people who write UDFs."""

from pathlib import Path

FOLDER = Path(__file__).parent
