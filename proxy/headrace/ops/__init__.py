"""The process: logging, metrics, worker processes and their messages, the memory budget of bodies, threads for runs.

`runner` runs a pipeline on the event loop or on a thread. `body_budget` is the admission control of bodies.
`supervisor` starts workers, `peers` connects them.
"""
