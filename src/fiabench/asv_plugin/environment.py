"""asv's environment for a box whose torch, torch_npu and CANN nobody rebuilds for a commit.

Named in asv.conf.json as the plugin `.fiabench.asv_plugin.environment` and the environment type `inplace`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from asv import util
from asv.environment import Environment, EnvironmentUnavailable
from asv.machine import Machine, MachineCollection

from fiabench.asv_plugin.names import CHECKOUT, RUNS


class InPlace(Environment):
    """Checks each commit out and builds nothing: benchmarks run in the interpreter that asv itself runs in.

    The checkout is on nobody's path. A benchmark finds it by the variable CHECKOUT and asks the commit's own tools, so
    that an old commit's engine never meets today's benchmarks.
    """

    tool_name = "inplace"
    matches_python_fallback = False

    def __init__(self, conf: Any, python: str, requirements: dict[str, str], tagged_env_vars: dict[Any, str]) -> None:
        if not self.matches(python):
            raise EnvironmentUnavailable(f"inplace: found python {python!r}; commits run in asv's own, {_version()}")
        if requirements:
            raise EnvironmentUnavailable(f"inplace: installs nothing; found requirements {', '.join(requirements)}")
        self._requirements = requirements  # the base class reads it before it sets it
        super().__init__(conf, python, requirements, tagged_env_vars)
        # asv's default for a command that is not given is to build and install a wheel.
        self._build_command = conf.build_command or []
        self._install_command = conf.install_command or []
        self._uninstall_command = conf.uninstall_command or []
        self._global_env_vars[CHECKOUT] = os.path.join(self._build_root, conf.repo_subdir or "")
        self._global_env_vars[RUNS] = str(Path(conf.results_dir).resolve().parent / "runs" / _machine())

    @classmethod
    def matches(cls, python: str) -> bool:
        return python == _version()

    def check_presence(self) -> bool:
        return os.path.isdir(self._path)

    def _setup(self) -> None:
        os.makedirs(self._path, exist_ok=True)

    def _get_installed_commit_hash(self) -> str | None:
        """The commit that is checked out; None where somebody removed the checkout, so that asv makes it again."""
        return super()._get_installed_commit_hash() if os.path.isdir(self._build_root) else None

    def find_executable(self, executable: str) -> str:
        if executable == "python":
            return sys.executable
        return str(util.which(executable))

    def run_executable(self, executable: str, args: list[str], **kwargs: Any) -> Any:
        """Runs a program as the box has it, its PYTHONPATH included: CANN's own modules come that way."""
        env = {**kwargs.pop("env", os.environ), **self._global_env_vars}
        if env.get("PYTHONPATH"):
            env.setdefault("ASV_PYTHONPATH", env["PYTHONPATH"])  # without it asv's runner takes PYTHONPATH away
        return util.check_output([self.find_executable(executable), *args], env=env, **kwargs)

    def run(self, args: list[str], **kwargs: Any) -> Any:
        return self.run_executable("python", args, **kwargs)


def _version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _machine() -> str:
    """The machine's name in asv's results. asv does not tell environments, so that --machine is read once more."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--machine", "-m")
    name = parser.parse_known_args(sys.argv[1:])[0].machine or str(Machine.get_unique_machine_name())
    try:
        return str(MachineCollection.load(name)["machine"])
    except util.UserError:  # asv has not met this machine: `asv run` will say so itself
        return name
