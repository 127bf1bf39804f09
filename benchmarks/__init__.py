"""The asv suite: one question to a module. Nothing here imports torch."""
