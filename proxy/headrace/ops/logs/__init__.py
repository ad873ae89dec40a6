"""Logs: the lines of the process in text or JSON, the access log, the slow log, and where the audit log goes."""
