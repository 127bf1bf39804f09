"""Steps in the history of a number: where it changed for good, how surely, and what would have been seen."""

from fiabench.stats.changes.detector import Known, detect, detect_all, detect_each
from fiabench.stats.changes.found import THRESHOLD, Change, Detection, History

__all__ = ["THRESHOLD", "Change", "Detection", "History", "Known", "detect", "detect_all", "detect_each"]
