"""Handlers about the proxy itself: health, metrics, node addresses, and what Elasticsearch clients ask first.

None of them shows documents or names of indexes.
"""
