"""Uploaded UDFs: what their manifests say (`manifest`) and their compiled modules (`catalog`)."""
