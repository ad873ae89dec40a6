"""Makes what people install: wheels and source distributions (`python -m release`)."""
