"""Runs with known numbers, written and read back as real run directories. Nothing in them was measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fiabench.cases import costs
from fiabench.cases.case import MASKS, Case
from fiabench.devices.peaks import find_peak
from fiabench.results import metrics
from fiabench.results.measurement import FAILED, LEFT_OUT, Measurement
from fiabench.results.rundir import Run, RunDirectory, read_run

CPU: dict[str, Any] = {
    "device": "cpu",
    "device_name": "planted CPU",
    "device_count": 2,
    "cpu": "planted CPU",
    "cores": 2,
    "emulated": ["npu_fused_infer_attention_score: provided by fiabench on torch's cpu kernels"],
    "peak": None,
}
NPU: dict[str, Any] = {
    "device": "npu",
    "device_name": "Ascend910B3, PLANTED NUMBERS",
    "device_count": 8,
    "cpu": "planted",
    "cores": 192,
    "emulated": [],
    "peak": find_peak("Ascend910B3"),
}


def case(
    seq_len: int,
    ulysses: int = 1,
    tp: int = 1,
    exchange: str = "separate",
    op: str = "fia",
    heads: int = 40,
    measure: str = "ulysses",
    **fields: Any,
) -> Case:
    """An attention case, or with ``measure="exchange"`` and ``exchange_bytes`` an all-to-all alone."""
    planted = Case(
        measure=measure,
        op=op,
        layout="BNSD",
        dtype="bf16",
        mask="none",
        seq_len_q=seq_len,
        seq_len_kv=seq_len,
        batch=1,
        heads=heads,
        kv_heads=heads,
        head_dim=128,
        tp=tp,
        ulysses=ulysses,
        heads_per_rank=heads // tp // ulysses,
        kv_heads_per_rank=heads // tp // ulysses,
        exchange=exchange if ulysses > 1 and measure != "kernel" else "none",
        exchange_bytes=0,
        replicas="one",
        threads=0,
    )
    return planted._replace(**fields)


def measured(
    planted: Case,
    environment: dict[str, Any],
    kernel: float = 0.0,
    pack: float = 0.0,
    transfer: float = 0.0,
    wait: float = 0.0,
    unpack: float = 0.0,
    residual: float = 0.0,
    status: str = "ok",
    around: float = 0.0,
    merge: float = 0.0,
    peak_memory: float | None = None,
) -> Measurement:
    """A measurement whose phases take exactly these seconds in all, half of each phase on either side of the kernel.

    Rank 0 is late: the others are done with their kernels ``wait`` earlier and wait for it in the exchange after, so
    that all ranks end together. ``residual`` is what end to end takes beyond the phases. Samples scatter by 1 % around
    it all, the same in every phase of an iteration. With a ring, ``around`` and ``merge`` are its phases' seconds;
    ``peak_memory`` is in bytes.
    """
    world = planted.world_size
    threads = planted.threads or max(1, environment["cores"] // world)
    oversubscribed = environment["device"] == "cpu" and world * threads > environment["cores"]
    line = Measurement(
        id=planted.id,
        case=planted.as_dict() | {"device": environment["device"], "threads": threads},
        status=status,
        reason="planted" if status != "ok" else "",
        timing={
            "emulated": planted.op == "fia" and environment["device"] != "npu",
            "world_size": world,
            "described_world_size": planted.described_world_size,
            "oversubscribed": oversubscribed,
        },
    )
    if status in FAILED | LEFT_OUT:
        return line
    scatter = [1 + 0.01 * (index % 5 - 2) / 2 for index in range(20)]

    def phase(seconds: float, spare: float = 0.0) -> dict[str, list[float]]:
        return {str(rank): [(seconds + spare * (rank > 0)) * factor for factor in scatter] for rank in range(world)}

    if planted.measure == "exchange":
        line.samples = {"exchange_in": phase(transfer, wait)}
    elif planted.exchange == "none":
        line.samples = {"kernel": phase(kernel)}
        if planted.ring > 1:
            line.samples |= {"ring_exchange": phase(around), "merge": phase(merge)}
    else:
        line.samples = {
            "pack_in": phase(pack / 2),
            "exchange_in": phase(transfer / 2),
            "unpack_in": phase(unpack / 2),
            "kernel": phase(kernel, -wait),
            **({"ring_exchange": phase(around), "merge": phase(merge)} if planted.ring > 1 else {}),
            "pack_out": phase(pack / 2),
            "exchange_out": phase(transfer / 2, wait),
            "unpack_out": phase(unpack / 2),
        }
    whole = sum(metrics.by_rank(ranks) for ranks in line.samples.values()) + residual
    line.samples[metrics.END_TO_END] = {str(rank): whole[rank].tolist() for rank in range(len(whole))}
    peak = (environment["peak"] or {}).get("flops", {}).get(planted.dtype)
    line.metrics = metrics.compute(planted, line.samples, peak, peak_memory)
    return line


def run_of(path: Path, environment: dict[str, Any], measurements: Iterable[Measurement]) -> Run:
    """The measurements as a run, by way of a run directory at ``path``."""
    directory = RunDirectory.create(path, {"sweep": {"name": "planted"}, "environment": environment})
    for measurement in measurements:
        directory.append(measurement)
    return read_run(path)


def quick(path: Path) -> Run:
    """Three lengths on 1, 2 and 4 ranks of a CPU with two cores, both exchanges and the baseline."""
    cases = [
        case(length, ulysses, exchange=exchange, heads=8)
        for length in (1024, 2048, 4096)
        for ulysses in (1, 2, 4)
        for exchange in (("none",) if ulysses == 1 else ("separate", "packed"))
    ]
    cases.append(case(4096, heads=8, op="sdpa"))
    measurements = []
    for planted in cases:
        kernel = 0.1 * (planted.seq_len_q / 1024) ** 2 / min(planted.ulysses, 2)
        unsettled = planted.seq_len_q == 4096 and planted.ulysses == 4
        measurements.append(
            measured(
                planted,
                CPU,
                kernel=kernel * (1.2 if planted.op == "sdpa" else 1.0),
                pack=0.002,
                transfer=0.010 if planted.exchange == "separate" else 0.006,
                wait=0.008,
                unpack=0.003,
                residual=0.004 if planted.ulysses > 1 else 0.0,
                status="unsettled" if unsettled else "ok",
                peak_memory=costs.memory_bytes(planted),
            )
        )
    measurements.append(measured(case(8192, 4, heads=8), CPU, status="timeout"))
    measurements.append(measured(case(8192, 2, heads=8), CPU, status="crash"))
    measurements.append(measured(case(1 << 20, 1, heads=8), CPU, status="does_not_fit"))
    return run_of(path, CPU, measurements)


def wan(path: Path, exchanges: tuple[str, ...] = ("separate",)) -> Run:
    """Four lengths by seven head shards on a planted NPU, as sweeps/wan2.2-t2v.yaml has them."""
    measurements = []
    for length in (25_200, 32_760, 75_600, 151_200):
        for tp in (1, 2):
            for ulysses in (1, 2, 4, 8):
                if 40 % (tp * ulysses):
                    continue
                for exchange in exchanges if ulysses > 1 else exchanges[:1]:
                    planted = case(length, ulysses, tp, exchange)
                    flops = 4 * planted.heads_per_rank * length**2 * 128
                    kernel = flops / (215e12 - 15e12 * tp - 8e12 * ulysses) + 40e-6
                    moved = 4 * planted.heads_per_rank * length * 128 * 2
                    measurements.append(
                        measured(
                            planted,
                            NPU,
                            kernel=kernel,
                            pack=moved / 700e9,
                            transfer=moved / (90e9 if exchange == "separate" else 120e9) + 60e-6,
                            wait=0.02 * kernel,
                            unpack=moved / 800e9,
                            residual=20e-6,
                            peak_memory=costs.memory_bytes(planted),
                        )
                    )
    return run_of(path, NPU, measurements)


def all_to_all(path: Path, degrees: tuple[int, ...] = (2, 4, 8)) -> Run:
    """Exchanges alone from 1 KiB to 512 MiB, the largest of the last degree unsettled."""
    measurements = []
    for power in range(10, 30):
        for ulysses in degrees:
            planted = case(0, ulysses, measure="exchange", op="none", exchange="none", exchange_bytes=1 << power)
            unsettled = power == 29 and ulysses == degrees[-1]
            measurements.append(
                measured(
                    planted,
                    NPU,
                    transfer=30e-6 + (1 << power) * (ulysses - 1) / ulysses / (ulysses * 20e9),
                    wait=10e-6,
                    status="unsettled" if unsettled else "ok",
                )
            )
    return run_of(path, NPU, measurements)


def masks(path: Path) -> Run:
    """The four masks on one rank's heads, as sweeps/masks.yaml has them: half the work, and a mask of S x S bytes."""
    measurements = []
    for length in (1024, 4096, 16_384):
        for mask in MASKS:
            planted = case(length, 4, tp=2, measure="kernel", mask=mask)
            bytes_of_mask = length**2 if mask == "causal_full" else 0
            seconds = costs.kernel_flops(planted) / 200e12 + 30e-6 + bytes_of_mask / 500e9
            memory = 2 * costs.kernel_min_bytes(planted) + 2 * bytes_of_mask
            measurements.append(measured(planted, NPU, kernel=seconds, peak_memory=memory))
    return run_of(path, NPU, measurements)


def decode(path: Path) -> Run:
    """One query token over a paged cache and another, by batch and key tokens, of 8 of 64 heads and a kv head of 8."""
    measurements = []
    for keys in (1024, 4096, 32_768):
        for batch in (1, 32):
            for cache in ("contiguous", "paged_BNBD_128", "paged_NZ_128"):
                planted = case(1, tp=8, measure="kernel", heads=64, seq_len_kv=keys, batch=batch, kv_cache=cache)
                planted = planted._replace(kv_heads=8, kv_heads_per_rank=1, mask="causal")
                seconds = costs.kernel_min_bytes(planted) / (1.2e12 if cache == "contiguous" else 1.0e12) + 12e-6
                measurements.append(measured(planted, NPU, kernel=seconds, peak_memory=2**28))
    return run_of(path, NPU, measurements)


def usp(path: Path) -> Run:
    """Ways to share one sequence among up to eight ranks: Ulysses, a ring, and both."""
    measurements = []
    for length in (25_200, 75_600):
        for ulysses, ring in ((1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (1, 4), (2, 2), (4, 2), (2, 4)):
            planted = case(length, ulysses, ring=ring)
            moved = 4 * planted.heads_per_rank * length // ring * 128 * 2
            measurements.append(
                measured(
                    planted,
                    NPU,
                    kernel=costs.kernel_flops(planted) / 200e12 + 40e-6 * ring,
                    pack=moved / 700e9,
                    transfer=moved / 90e9,
                    unpack=moved / 800e9,
                    around=costs.ring_bytes(planted) / 90e9,
                    merge=(ring - 1) * moved / 400e9,
                )
            )
    return run_of(path, NPU, measurements)
