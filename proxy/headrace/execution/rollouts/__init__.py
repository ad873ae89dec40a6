"""Rollouts of candidate versions on live traffic."""
