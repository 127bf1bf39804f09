"""The driver's version out of the files that drivers leave."""

from __future__ import annotations

import pytest

from fiabench.devices.driver import ascend_version, nvidia_version

ASCEND = """Version=24.1.1
ascendhal_version=7.35.23
aicpu_version=1.0
tdt_version=1.0
log_version=1.0
prof_version=2.0
dvppkernels_version=1.1
tsfw_version=1.0
Innerversion=V100R001C19SPC003B231
compatible_version=[V100R001C30],[V100R001C13]
package_version=24.1.1
"""

NVIDIA = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023
GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)
"""

NVIDIA_OPEN = """NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs@U16)
GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)
"""


@pytest.mark.parametrize(
    ("read", "text", "version"),
    [
        (ascend_version, ASCEND, "24.1.1"),
        (ascend_version, "version=25.5.1\r\n", "25.5.1"),
        (ascend_version, "package_version=1.0\n", None),
        (nvidia_version, NVIDIA, "535.129.03"),
        (nvidia_version, NVIDIA_OPEN, "570.86.15"),
        (nvidia_version, "GCC version: 12.3.0 \n", None),
    ],
)
def test_the_version_is_found(tmp_path, read, text, version):
    file = tmp_path / "version"
    file.write_text(text, encoding="utf-8")
    assert read(file) == version


def test_no_file_is_no_version(tmp_path):
    assert ascend_version(tmp_path / "none") is None
    assert nvidia_version(tmp_path) is None
