"""Versions of pipelines: their deletion, and their rollouts on live traffic."""
