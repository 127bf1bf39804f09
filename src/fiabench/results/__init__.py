"""Run directories: what was measured, on what, and views of it. Imports no torch."""
