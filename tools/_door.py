"""The way into every command of `tools/`: the right Python, and this checkout's own engine.

A tool may be started by any Python. One that lacks the engine's libraries starts the tool again in `.venv`, or says
how to make it. Nothing here may need more than the standard library, nor syntax newer than Python 3.6: an old
`python3` has to come far enough to be told what to do.
"""

import importlib.util
import os
import sys

#: Top-level modules that the engine imports. torch is looked for apart: only rank processes need it.
LIBRARIES = ("asv", "click", "matplotlib", "numpy", "psutil", "pydantic", "rich", "scipy", "yaml")
OLDEST = (3, 10)
#: Set for the Python that is started in `.venv`, to that checkout's root, so that it never starts another.
ENTERED = "FIABENCH_ENTERED"


def enter(tool):
    """Puts the checkout of the file `tool` first on sys.path; returns only in a Python that has what the engine needs.

    Otherwise this process becomes `.venv/bin/python` with the same arguments (the same process id, so that torchrun
    and asv keep sight of it), or ends with status 2.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(tool)))
    source = os.path.join(root, "src")
    came_from_door = os.environ.pop(ENTERED, "") == root
    missing = lacking(LIBRARIES)
    unfit = sys.version_info < OLDEST or bool(missing)
    # Without torch the commands that only read still work; with a .venv beside us there is no need to settle for that.
    if unfit or lacking(["torch"]):
        python = os.path.join(root, ".venv", "bin", "python")
        if os.access(python, os.X_OK) and not (came_from_door or is_prefix(os.path.join(root, ".venv"))):
            os.environ[ENTERED] = root
            sys.stdout.flush()
            os.execv(python, [python, *sys.argv])
        if unfit:
            raise SystemExit(refuse(root, missing))
    sys.excepthook = end_quietly
    # `tools/` itself leaves the path: its modules are commands, and must not hide a library of the same name.
    here = os.path.join(root, "tools")
    sys.path[:] = [source] + [entry for entry in sys.path if os.path.abspath(entry or ".") != here and entry != source]


def end_quietly(kind, error, trace):
    """Ctrl-C while the engine is being imported, which it does not catch, is a line and status 130."""
    if not issubclass(kind, KeyboardInterrupt):
        return sys.__excepthook__(kind, error, trace)
    print("Interrupted.", file=sys.stderr)
    sys.stderr.flush()
    os._exit(130)


def lacking(modules):
    """Those of the modules that this Python cannot find. Imports none of them."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def is_prefix(venv):
    return os.path.realpath(sys.prefix) == os.path.realpath(venv)


def refuse(root, missing):
    """Says on stderr what to do; returns the exit status for bad input."""
    tool = os.path.basename(sys.argv[0])
    if is_prefix(os.path.join(root, ".venv")):
        reason = f"the environment {root}/.venv lacks {', '.join(missing)}"
    elif sys.version_info < OLDEST:
        reason = "this Python is {}.{} and there is no usable {}/.venv".format(*sys.version_info[:2], root)
    else:
        reason = f"{sys.executable} lacks {', '.join(missing)} and there is no usable {root}/.venv"
    print(f"{tool}: {reason}.\n{tool}: run `make env` in {root} once, then the same command again.", file=sys.stderr)
    return 2
