"""Makes the engine's tables of names of months, days and time zones."""
