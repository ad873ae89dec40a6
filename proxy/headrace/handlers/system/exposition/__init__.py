"""Metrics for Prometheus by `prometheus-client`: text, or OpenMetrics with exemplars, as the scraper asks.

Labels are surfaces, status classes, reasons of a fixed list, nodes of the setting, types of errors (32 a pipeline), and
the names of pipelines, stages and UDFs that have run: as many as the registry has, never a name that a client sends.
A version with five stages has about 120 series.
"""

from headrace.handlers.system.exposition.render import Exposition, exposition, metrics

__all__ = ["Exposition", "exposition", "metrics"]
