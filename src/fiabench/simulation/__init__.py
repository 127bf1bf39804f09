"""A simulated device: modelled durations on virtual time, through the engine that measures real ones.

``spec``, ``model``, ``effects`` and ``predict`` import no torch: planning uses them. Nothing here measures anything.
"""
