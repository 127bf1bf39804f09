"""Code of outside projects, brought under measurement from a path, at whatever commit or release lies there.

An adapter for an attention layer (:mod:`.sglang_attention`, :mod:`.any_callable`) is a module with ``ABOUT``,
``unsupported(case, device)``, ``prepare(case, query, key, value, path, ...)`` and ``provenance(path, ...)``;
:mod:`.exchanges` has the adapters for all-to-alls. Nothing of an outside project is edited, and only rank processes
import any of it: this package imports torch.
"""
