"""QuickJS as a guest."""
