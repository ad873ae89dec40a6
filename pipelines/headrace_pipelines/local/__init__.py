"""Runs pipelines in this process, without a proxy: the public API of the data plane."""

from headrace_pipelines.local.bundle import Bundle
from headrace_pipelines.local.outcomes import BulkOutcome, Failure, Outcome, PipelineFailedError
from headrace_pipelines.local.pipelines import Pipelines

__all__ = ["BulkOutcome", "Bundle", "Failure", "Outcome", "PipelineFailedError", "Pipelines"]
