"""asv's environment for a box whose torch, torch_npu and CANN nobody rebuilds for a commit.

Named in asv.conf.json as the plugin `.fiabench.asv_plugin.environment` and the environment type `inplace`; brings the
publisher of the page with it.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from asv import util
from asv.environment import Environment, EnvironmentUnavailable

from fiabench.asv_plugin.asked import read_command_line, shown
from fiabench.asv_plugin.keeping import Keeper, keep_out_others
from fiabench.asv_plugin.names import CHECKOUT, COMMIT, DEVICE, ENVIRONMENT, MODULE, PLAN, PROJECT, SWEEP
from fiabench.asv_plugin.notice import measured_on
from fiabench.asv_plugin.publisher import Index  # asv finds publishers by their class
from fiabench.cases.errors import InputError

__all__ = ["InPlace", "Index"]


def setup() -> None:
    """asv calls this for every command, with its configuration's folder as the working one."""
    results = shown()
    for said in measured_on((results.resolve().parent / "runs").glob("*/*")) if results else ():
        print(said)


class InPlace(Environment):
    """Checks each commit out and builds nothing that was not asked for: benchmarks run in asv's own interpreter.

    The checkout is on nobody's path. A benchmark finds it in the plan, so that an old commit's engine never meets
    today's benchmarks.
    """

    tool_name = ENVIRONMENT
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
        keep_out_others(Path(self._env_dir))
        # Not among asv's own variables: it takes all of these for parts of commands.
        self._told = {CHECKOUT: os.path.join(self._build_root, conf.repo_subdir or "")}
        self._keeper: Keeper | None = None
        if (Path(conf.benchmark_dir) / f"{MODULE}.py").exists():
            self._make_plan(conf)

    def _make_plan(self, conf: Any) -> None:
        """Works out what the benchmarks' processes have to know.

        Raises UserError for a sweep that cannot be taken, and for a device that is not there.
        """
        # Reading a sweep takes libraries that no other command of asv needs.
        from fiabench.asv_plugin.plan import digest, read_groups

        asked, device = read_command_line(), os.environ.get(DEVICE, "")
        engine = Path(conf.benchmark_dir).resolve().parent
        sweep = Path(os.environ.get(SWEEP) or engine / "sweeps" / "history.yaml").resolve()
        runs = Path(conf.results_dir).resolve().parent / "runs" / asked.machine
        try:
            groups, _ = read_groups(sweep, device, os.environ.get(PROJECT, ""))
        except InputError as error:
            raise util.UserError(str(error)) from error
        _require_device(device)
        self._keeper = Keeper.of(conf, runs, Path(self._build_root), asked.quick) if asked.keeps else None
        content = {
            "asv": f"{os.getpid()} on {util.datetime_to_js_timestamp(Keeper.started)}",
            "sweep": str(sweep),
            "digest": digest(sweep),
            "project": os.environ.get(PROJECT, ""),
            "device": device,
            "engine": str(engine / "tools" / "sweep.py"),
            "checkout": self._told[CHECKOUT],
            "runs": str(runs),
            "environment": self.name,
            "variables": self.env_vars,
            "patterns": asked.patterns,
            "quick": asked.quick,
            "rounds": asked.rounds,
            "appended": asked.appended,
            "groups": {name: group._asdict() for name, group in groups.items()},
        }
        path = Path(self._env_dir).resolve() / f"plan-{self.hashname}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        self._told[PLAN] = str(path)

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

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        if self._keeper is not None:
            self._keeper.commits.add(commit_hash)  # before a build that fails: asv then forgets all of the commit
        super().install_project(conf, repo, commit_hash)

    def find_executable(self, executable: str) -> str:
        if executable == "python":
            return sys.executable
        return str(util.which(executable))

    def run_executable(self, executable: str, args: list[str], **kwargs: Any) -> Any:
        """Runs a program as the box has it, its PYTHONPATH included: CANN's own modules come that way."""
        env = {**kwargs.pop("env", os.environ), **self._global_env_vars, **self._told}
        commit = self._get_installed_commit_hash()
        if commit is not None:  # asv forgets it where environments that differ in variables share a checkout
            env[COMMIT] = commit
        if env.get("PYTHONPATH"):
            env.setdefault("ASV_PYTHONPATH", env["PYTHONPATH"])  # without it asv's runner takes PYTHONPATH away
        return util.check_output([self.find_executable(executable), *args], env=env, **kwargs)

    def run(self, args: list[str], **kwargs: Any) -> Any:
        return self.run_executable("python", args, **kwargs)


@cache
def _require_device(device: str) -> None:
    """Raises UserError where ``device`` is not to be had, so that no commit is blamed for it."""
    from fiabench.workers.machine import guess_machine  # takes them too

    try:
        if device not in ("", "auto"):  # which is always there
            guess_machine(device)
    except InputError as error:
        raise util.UserError(f"{DEVICE}={device}: {error}") from error


def _version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
