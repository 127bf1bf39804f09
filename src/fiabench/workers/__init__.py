"""Rank processes and the coordinator that starts, feeds and ends them."""
