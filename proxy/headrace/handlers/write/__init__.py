"""Handlers of writing surfaces: bulk, single documents, updates, and writes by query.

A single document is a bulk of one action. Document pipelines run over actions in the engine
(`execution.document_run`); what they leave is sent on, and the answer lists one item for each action of the client.
"""
