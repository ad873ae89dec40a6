"""Decides which pipelines apply to a request, runs them, and holds requests to final pipelines and masks.

- `expressions` resolves the index expression of a request once and writes it anew for the cluster;
- `choice` collects the pipelines that a request names and those that its indexes have attached;
- `search_plan` composes the pipelines of a search over several indexes, and caches the result;
- `search_run` and `document_run` run them over a search or over the actions of a bulk;
- `rollouts` runs two versions of a pipeline beside each other on live traffic;
- `protected` and `protection` review what a request over a protected index may ask;
- `read_guard` finds what protects documents that are read by id, and `visibility` whether final filters show them.

Functions return values or raise `HeadraceError`. Handlers answer.
"""
