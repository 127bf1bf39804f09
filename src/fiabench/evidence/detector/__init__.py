"""The evidence of docs/detector.md: the detector of steps, and others', on noise and steps that are known."""
