"""Traces by OpenTelemetry: a tree of spans for a sampled request. Nothing here is imported where traces are off."""
