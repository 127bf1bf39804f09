"""Studies of fiabench's own methods against planted truth; what they find is in docs/accuracy.md."""
