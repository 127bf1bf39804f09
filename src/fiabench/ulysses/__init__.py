"""Ulysses sequence parallelism: pack, exchange, unpack, and the process groups for it."""
