"""Which errors are told as memory that ran out: the words are real ones, of allocators, CANN, HCCL and NCCL."""

from __future__ import annotations

import pytest
import torch

from fiabench.devices.cuda import CudaDevice
from fiabench.devices.exhaustion import chain, tells_of_memory

ENVELOPE = (
    "operator():build/CMakeFiles/torch_npu.dir/compiler_depend.ts:128 NPU function error: call {call} failed, error "
    "code is {code}\n[ERROR] 2025-09-28-07:22:30 (PID:316198, Device:7, RankID:-1) ERR00100 PTA call acl api failed\n"
)
EXHAUSTED = [
    (
        "npu",
        "NPU out of memory. Tried to allocate 52.00 MiB (NPU 0; 60.96 GiB total capacity; 59.36 GiB already allocated; "
        "59.36 GiB current active; 14.24 MiB free; 60.60 GiB reserved in total by PyTorch)",
    ),
    ("npu", "NPU out of memory. NPUWorkspaceAllocator tried to allocate 1.00 GiB"),
    (
        "npu",
        ENVELOPE.format(call="aclnnMoeDistributeDispatchV2", code=207001)
        + "[Error]: Failed to apply for memory.\n        Check the remaining storage space in the hardware "
        "environment.\nEL0004: [PID: 316198] 2025-09-28-07:22:29.827.496 Failed to allocate memory.",
    ),
    ("npu", ENVELOPE.format(call="aclrtMalloc", code=207018) + "[Error]: The memory on the device is exhausted. \n"),
    (
        "npu",
        "HCCL function error: hcclCommInitRootInfoConfig, error code is 2\nEI0007: Failed to allocate "
        "resource[DeviceMemory] with info [size:2147483648]. Reason: Memory resources are exhausted.",
    ),
    ("npu", "create:ProcessGroupHCCL.cpp:92 HCCL function error: HcclCommInitRootInfoConfig(x), error code is 24\n."),
    ("cuda", "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB"),
    ("cuda", "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"),
    ("cuda", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    (
        "cuda",
        "NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled cuda error, NCCL version 2.27.5\n"
        "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'",
    ),
    ("cpu", "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ("npu", "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
]
OTHERS = [
    ("npu", "alltoall:ProcessGroupHCCL.cpp:92 HCCL function error: HcclAlltoAll(x), error code is 3 (memory error)"),
    ("npu", ENVELOPE.format(call="aclnnFusedInferAttentionScoreV3", code=561002) + "EZ9999: Inner Error!"),
    ("npu", "The DDR address of the MTE instruction is out of range."),
    ("npu", "[Error]: The memory address is not aligned."),
    ("npu", "NPU function error: UCE ERROR, error code is 507053, HBM multi bit ECC"),
    (
        "npu",
        "Allocation_Failure(EI0007): Failed to allocate resource[qp] with info [aicpu rank:9, send_cq_depth:32768]. "
        "Reason: Memory resources are exhausted.",
    ),
    ("cuda", "CUDA error: an illegal memory access was encountered"),
    ("cuda", "CUDA error: operation not permitted when stream is capturing"),
    ("cpu", "NPU out of memory. Tried to allocate 52.00 MiB"),
]


@pytest.mark.parametrize(("device", "text"), EXHAUSTED)
def test_memory_that_ran_out(device, text):
    assert tells_of_memory(device, RuntimeError(text))


@pytest.mark.parametrize(("device", "text"), OTHERS)
def test_another_error(device, text):
    assert not tells_of_memory(device, RuntimeError(text))


@pytest.mark.parametrize("device", ["npu", "cuda", "cpu"])
def test_pythons_own_memory(device):
    assert tells_of_memory(device, MemoryError())


def test_torchs_own_type_counts_whatever_its_words():
    device = CudaDevice.__new__(CudaDevice)  # there is no GPU to bind to
    assert device.is_out_of_memory(torch.cuda.OutOfMemoryError("(none)"))
    assert not device.is_out_of_memory(RuntimeError("(none)"))


def fail_twice():
    try:
        raise RuntimeError("first")
    except RuntimeError:
        raise ValueError("then")  # noqa: B904


def test_the_chain_ends_with_what_came_first():
    with pytest.raises(ValueError, match="then") as failed:
        fail_twice()
    assert [str(each) for each in chain(failed.value)] == ["then", "first"]


def test_a_chain_in_a_circle_ends():
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert len(list(chain(one))) == 2
