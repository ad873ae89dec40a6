"""Taps: chosen documents, queries and results as they were before and after a pipeline, for administrators.

On the way of a request only the bytes of what is chosen are kept (`watching`). After the answer a thread of low
priority runs the same version of the pipeline once more, with a trace and in sandboxes of its own (`rerun`), and makes
a patch for each stage (`patches`), without what masks hide (`hiding`). Each worker does so for what it served itself
(`hub`), and sends it to the worker whose caller asked (`streams`).
"""
