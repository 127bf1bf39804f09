"""The commands' bodies. Imports no torch."""
