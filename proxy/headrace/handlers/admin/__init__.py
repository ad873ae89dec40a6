"""Handlers that define, attach and administer: pipelines, UDFs, index settings, templates, copies of indexes.

Each checks the rights of its caller first (`security.admin`), changes the registry, and tells the other workers.
Requests that create or copy an index keep its attached pipelines (`attachment`).
"""
