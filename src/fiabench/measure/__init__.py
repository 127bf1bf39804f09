"""Measuring one case on one rank: inputs, pipeline, correctness check, sampling."""
