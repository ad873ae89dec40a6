"""Handlers of reading surfaces: searches in all their forms, points in time, scrolls, and reads by id.

Each resolves what the request reads, runs the query pipelines, sends the request on, and runs the result pipelines on
the answer (`execution.search_run`). A surface that a final pipeline cannot protect is refused.
"""
