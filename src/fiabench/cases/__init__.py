"""Sweep definitions: YAML to cases, model geometries and what a case costs. Imports no torch."""
