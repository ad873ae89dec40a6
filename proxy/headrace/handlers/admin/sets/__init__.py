"""`/_registry`: sets of pipelines, UDFs and associations that are in force as a whole.

- `endpoints`: the handlers;
- `request`, `view`: bodies, and what is shown;
- `managed`: changes by hand of what a set has.
"""
