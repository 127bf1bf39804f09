"""A group of rank processes: started together, asked together, ended by their process ids. Imports no torch."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psutil

from fiabench.cases.case import Case
from fiabench.cases.variables import Variables
from fiabench.workers.child import child_environment
from fiabench.workers.protocol import PARENT, REPLY_FD, decode, encode

GRACE_SECONDS = 5.0
"""How long the other ranks may take to answer once one has failed: longer means that they wait for it."""
START_SECONDS = 180.0
"""Importing torch and meeting the other ranks; minutes on a cold file system, seconds otherwise."""
END_SECONDS = 5.0
FATAL = ("error", "out_of_memory")
"""How a rank may end a case for which the others wait for it."""
_LAST_WORDS = 1500


class GroupFailure(Exception):
    """A group that cannot be used any more. ``status`` is the case's: `crash`, `timeout` or a rank's own."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Ranks(Protocol):
    """What the coordinator needs of ranks that it asks together."""

    cores: list[list[int] | None]
    """By rank the cores that it is bound to, None where it is not."""

    @property
    def pids(self) -> list[int]:
        """The process ids, by rank."""
        ...

    def hosts(self, world_size: int, variables: Variables, threads: int) -> bool:
        """Whether they can run such a case, or others have to be started for it."""
        ...

    def join(self) -> float:
        """Lets the ranks meet; returns the seconds since they were started. Raises GroupFailure."""
        ...

    def ask(self, command: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """Every rank's answer to ``command``, by rank, within ``seconds``. Raises GroupFailure."""
        ...

    def close(self) -> None:
        """Ends the ranks in peace."""
        ...

    def kill(self) -> None:
        """Ends the ranks at once."""
        ...


class StandingRanks(Ranks, Protocol):
    """Ranks that somebody else started: there are no others for what they cannot run."""

    def lacking(self, case: Case) -> str:
        """What ``case`` needs that they have not; empty where they can run it."""
        ...


class _Rank(NamedTuple):
    process: subprocess.Popen[bytes]
    replies: int
    log: Path


class RankGroup:
    """``world_size`` ranks on one box, each a process bound to a device."""

    module = "fiabench.workers.rank"
    """What each process runs."""

    def __init__(self, device: str, world_size: int, threads: int, logs: Path, variables: Variables = ()) -> None:
        """Starts the processes; :meth:`join` waits for them. ``logs`` takes each rank's standard output and error.

        ``variables`` are set in the environment of each.
        """
        self.world_size = world_size
        self.variables = variables
        self.cores: list[list[int] | None] = []
        """By rank the cores that it is bound to, None where it is not; known once the ranks have joined."""
        self._device = device
        self._ranks: list[_Rank] = []
        self._pending: dict[int, bytes] = {}
        logs.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        try:
            for rank in range(world_size):
                self._ranks.append(self._start(device, rank, threads, logs))
        except BaseException:
            self.kill()
            raise

    def _start(self, device: str, rank: int, threads: int, logs: Path) -> _Rank:
        reading, writing = os.pipe()
        log = logs / f"world{self.world_size}-rank{rank}.log"
        environment = child_environment(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(self.world_size),
            LOCAL_WORLD_SIZE=str(self.world_size),
            FIABENCH_DEVICE=device,
            PYTHONUNBUFFERED="1",
            OMP_NUM_THREADS=str(threads),
            **dict(self.variables),
            **{REPLY_FD: str(writing), PARENT: str(os.getpid())},
        )
        # One box talks to itself: without this Gloo resolves the host's name, which many boxes cannot.
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(writing,),
                start_new_session=True,
            )
        os.close(writing)
        self._pending[reading] = b""
        return _Rank(process, reading, log)

    @property
    def pids(self) -> list[int]:
        return [rank.process.pid for rank in self._ranks]

    def hosts(self, world_size: int, variables: Variables, threads: int) -> bool:
        """Whether these processes are as many ranks as that, started with those variables.

        On the CPU they must also have a core for each of a rank's ``threads``, or be free to use any.
        """
        if (self.world_size, self.variables) != (world_size, variables):
            return False
        return self._device != "cpu" or all(cores is None or len(cores) >= threads for cores in self.cores)

    def join(self) -> float:
        """Lets the ranks meet; returns the seconds since they were started. Raises GroupFailure."""
        deadline = self.started + START_SECONDS
        self._collect(deadline, range(self.world_size))
        self._send(0, {"port": 0})
        (opened,) = self._collect(deadline, [0])
        for rank in range(1, self.world_size):
            self._send(rank, {"port": opened["port"]})
        self.cores = [joined["cores"] for joined in self._collect(deadline, range(self.world_size))]
        return time.monotonic() - self.started

    def ask(self, command: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """Every rank's answer to ``command``, by rank.

        Raises GroupFailure where a rank dies, where one fails while the others wait for it, and where ``seconds``
        pass; the group is of no use then.
        """
        for rank in range(self.world_size):
            self._send(rank, command)
        return self._collect(time.monotonic() + seconds, range(self.world_size))

    def _send(self, rank: int, message: dict[str, Any]) -> None:
        stream = self._ranks[rank].process.stdin
        assert stream is not None
        try:
            stream.write(encode(message))
        except BrokenPipeError:
            raise self._death(rank) from None

    def _collect(self, deadline: float, ranks: Iterable[int]) -> list[dict[str, Any]]:
        """One message from each of ``ranks``, by rank; a failing one leaves the others GRACE_SECONDS."""
        answers: dict[int, dict[str, Any]] = {}
        started = time.monotonic()
        failure: dict[str, Any] | None = None
        with selectors.DefaultSelector() as selector:
            for rank in ranks:
                selector.register(self._ranks[rank].replies, selectors.EVENT_READ, rank)
            while waiting := [key.data for key in selector.get_map().values()]:
                message = next((pair for rank in waiting if (pair := self._whole_message(rank))), None)
                if message is not None:
                    rank, answer = message
                    answers[rank] = answer
                    selector.unregister(self._ranks[rank].replies)
                    outcome = answer.get("outcome")
                    if outcome and outcome["status"] in FATAL and failure is None:
                        failure = outcome | {"reason": f"rank {rank}: {outcome['reason']}"}
                        deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
                    continue
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready and failure:
                    raise GroupFailure(failure["status"], failure["reason"])
                if not ready:
                    late = ", ".join(str(rank) for rank in sorted(waiting))
                    raise GroupFailure("timeout", f"no answer from rank {late} within {deadline - started:.0f} s")
                for key, _ in ready:
                    self._read(key.data)
        return [answers[rank] for rank in sorted(answers)]

    def _read(self, rank: int) -> None:
        pipe = self._ranks[rank].replies
        received = os.read(pipe, 1 << 16)
        if not received:
            raise self._death(rank)
        self._pending[pipe] += received

    def _whole_message(self, rank: int) -> tuple[int, dict[str, Any]] | None:
        """The next message of ``rank`` among what was read, with the rank; None where none is complete."""
        pipe = self._ranks[rank].replies
        line, newline, rest = self._pending[pipe].partition(b"\n")
        if not newline:
            return None
        self._pending[pipe] = rest
        return rank, decode(line)

    def _death(self, rank: int) -> GroupFailure:
        process, _, log = self._ranks[rank]
        try:
            code = process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return GroupFailure("crash", f"rank {rank} closed its answers and went on; see {log.name}")
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            if code == -signal.SIGKILL:
                how += " (by hand, or by the kernel for want of memory: see dmesg)"
        else:
            how = f"ended with exit code {code}"
        words = log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip().splitlines()
        last = f"; its last words: {words[-1]}" if words and code > 0 else ""
        return GroupFailure("crash", f"rank {rank} {how}{last}")

    def close(self) -> None:
        """Ends the ranks in peace, by the end of their commands; those that do not listen are killed."""
        for rank in self._ranks:
            if rank.process.stdin:
                rank.process.stdin.close()
        deadline = time.monotonic() + END_SECONDS
        for rank in self._ranks:
            try:
                rank.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                break
        self.kill()

    def kill(self) -> None:
        """Ends every rank and what it started, at once, and returns when they are gone."""
        for rank in self._ranks:
            if rank.process.poll() is None:
                process = psutil.Process(rank.process.pid)
                for member in [*process.children(recursive=True), process]:
                    with suppress(psutil.NoSuchProcess):
                        member.kill()
        for rank in self._ranks:
            rank.process.wait()
            if rank.process.stdin:
                rank.process.stdin.close()
        for pipe in self._pending:
            os.close(pipe)
        self._ranks, self._pending = [], {}


class SimulatedGroup(RankGroup):
    """One process that simulates as many ranks as a case has."""

    module = "fiabench.workers.simulated"

    def __init__(self, device: str, logs: Path) -> None:
        super().__init__(device, 1, 1, logs)

    def hosts(self, world_size: int, variables: Variables, threads: int) -> bool:
        return True

    def join(self) -> float:
        self._collect(self.started + START_SECONDS, [0])
        return time.monotonic() - self.started

    def ask(self, command: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        try:
            (answer,) = super().ask(command, seconds)
        except GroupFailure as failure:
            raise GroupFailure(failure.status, failure.reason.replace("rank 0", "the ranks' process")) from None
        given: dict[int, dict[str, Any]] = {rank: found for rank, found in enumerate(answer["ranks"]) if found}
        if len(given) < len(answer["ranks"]):  # the others waited for one that failed
            outcomes = ((rank, found["outcome"]) for rank, found in given.items())
            rank, outcome = next((rank, outcome) for rank, outcome in outcomes if outcome["status"] in FATAL)
            raise GroupFailure(outcome["status"], f"rank {rank}: {outcome['reason']}")
        return list(given.values())
