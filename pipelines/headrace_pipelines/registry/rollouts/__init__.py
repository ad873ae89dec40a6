"""Rollouts: a candidate version of a pipeline beside the active one, on live traffic.

- `record` is what the store holds: what was asked for, and how far it is;
- `running` is a rollout in force, with both versions compiled.
"""
