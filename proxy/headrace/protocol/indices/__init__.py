"""Names of the cluster: indexes, aliases, data streams, and what an expression over them means.

`options` reads the parameters that decide how an expression is expanded, `view` holds what the cluster has,
`expressions` resolves an expression against a view by the cluster's own rules. `resolver` keeps the view fresh: it
asks for metadata by its protocol `Metadata`, which `registry.store` implements.
"""
