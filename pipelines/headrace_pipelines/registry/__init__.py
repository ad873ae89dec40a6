"""The registry as the data plane sees it: an immutable snapshot of all pipelines, UDFs and associations.

- `records` are what the store holds;
- `pipeline` is one version, compiled;
- `references` lists what a definition names;
- `snapshot` is the registry at one moment;
- `compile` makes a snapshot from records, and reuses what has not changed.
"""

from headrace_pipelines.registry.compile import build, compile_pipeline, udf_record
from headrace_pipelines.registry.pipeline import Pipeline
from headrace_pipelines.registry.records import PipelineRecord, Records, UdfRecord, key, version_order
from headrace_pipelines.registry.snapshot import Snapshot

__all__ = [
    "Pipeline",
    "PipelineRecord",
    "Records",
    "Snapshot",
    "UdfRecord",
    "build",
    "compile_pipeline",
    "key",
    "udf_record",
    "version_order",
]
