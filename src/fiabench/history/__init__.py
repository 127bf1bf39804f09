"""History: a sweep over the commits of a repository, what changed at which of them, and how sure that is.

Whatever is said of a commit is read from the run directories that measuring it left. Nothing here imports torch.
"""
