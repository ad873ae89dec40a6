"""Mappings of the indexes that documents are fitted to: `keeper` reads them, and has them compiled for the engine."""
