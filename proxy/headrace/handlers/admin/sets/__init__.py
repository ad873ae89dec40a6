"""`/_registry`: sets of pipelines, UDFs and associations that are in force as a whole.

- `endpoints`: the handlers;
- `request`, `view`: bodies, and what is shown.
"""
