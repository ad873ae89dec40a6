"""`/_dead_letters`: documents that were kept, and their redrive."""
