"""Uploaded UDFs: manifests, packages, compiled modules, secrets.

- `manifest` is what an upload declares: language, entry, parameters, limits;
- `archives` packs Python packages beside a source;
- `catalog` compiles modules and binds them to a stage: its limits, its parameters;
- `secrets` resolves `${secret:NAME}` in parameters;
- `stubs` are types for editors.
"""
