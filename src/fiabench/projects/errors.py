"""What goes wrong with an outside project before its code runs."""


class ProjectError(RuntimeError):
    """An outside project cannot be loaded or called; the message says what was looked for, where, and what to do."""
