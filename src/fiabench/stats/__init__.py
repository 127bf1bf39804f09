"""Statistics as pure functions on arrays: no torch, no files, nothing else of fiabench."""
