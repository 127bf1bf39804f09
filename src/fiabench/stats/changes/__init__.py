"""Steps in the history of a number: where it changed for good, how surely, and what would have been seen."""

from fiabench.stats.changes.detector import detect, detect_all, detect_each
from fiabench.stats.changes.found import THRESHOLD, Change, Detection, History

__all__ = ["THRESHOLD", "Change", "Detection", "History", "detect", "detect_all", "detect_each"]
