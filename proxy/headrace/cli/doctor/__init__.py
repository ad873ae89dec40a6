"""`headrace doctor`: looks for what goes wrong in installations, and says the remedy of each.

`machine` examines this host and its settings, `cluster` the cluster with the registry's user, and `proxy` one or more
running proxies. Each yields findings; `bundle` packs them for a report.
"""
