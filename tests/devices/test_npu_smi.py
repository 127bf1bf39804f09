"""What drivers' `npu-smi` writes, read: the excerpts are real ones, the traps theirs."""

from __future__ import annotations

import math
import stat
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.devices.npu_smi import Chip, NpuSmi, ask, chip_of, chips, fields, readings
from fiabench.devices.sensing import SensorsMissing

A2_TABLE = """\
| npu-smi 24.1.1                   Version: 24.1.1                                               |
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B4               | OK            | 88.2        30                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          26838/ 32768         |
"""
A3_TABLE = """\
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
| 0     Ascend910           | OK            | 165.0       47                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          47380/ 65536         |
| 0     Ascend910           | OK            | -           49                0    / 0             |
| 1     1                   | 0000:9F:00.0  | 0           0    / 0          46953/ 65536         |
+===========================+===============+====================================================+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
| 0       0                 | 3712          | python                   | 47000                   |
"""


def tabbed(text):
    return textwrap.indent(textwrap.dedent(text), "\t")


USAGES = tabbed("""\
    NPU ID                         : 0
    Chip Count                     : 1

    HBM Capacity(MB)               : 65536
    HBM Usage Rate(%)              : 5
    Aicore Usage Rate(%)           : 0
    Chip ID                        : 0
    """)
TEMP = tabbed("""\
    NPU Temperature (C)            : 39
    Chip ID                        : 0

    LM75A_TE (C)                   : 36
    Chip Name                      : MCU
    """)
POWER = tabbed("""\
    NPU Real-time Power(W)         : 103.5
    Chip ID                        : 0
    """)
BOARD = tabbed("""\
    Product Name                   : IT21HMDC_Bin5
    Software Version               : 25.5.1
    Firmware Version               : 7.8.0.6.201
    PCIe Bus Info                  : 0000:C1:00.0
    """)
COMMON = tabbed("""\
    Aicore Freq(MHZ)               : 900
    Aicore curFreq(MHZ)            : 800
    Temperature(C)                 : 41
    NPU Real-time Power(W)         : 71.7
    """)
COMMON_WITH_MCU = tabbed("""\
    NPU ID                         : 0
    Chip Count                     : 1

    Chip ID                        : 0
    Aicore Freq(MHZ)               : 1000
    Aicore curFreq(MHZ)            : 1000
    Temperature(C)                 : 46
    NPU Real-time Power(W)         : 69.0

    Chip Name                      : mcu
    Temperature(C)                 : 48
    NPU Real-time Power(W)         : 45.2
    """)
ASCEND_950 = "NPU ID : 0\nAicore curFreq(MHZ) : 100\nTemperature (C) : 65\nNPU Real-time Power(W) : 298.6\n"


def test_the_table_of_an_a2():
    assert chips(A2_TABLE) == [Chip(0, 0, "0000:c1:00.0")]


def test_the_table_of_an_a3_has_two_chips_to_a_card():
    assert chips(A3_TABLE) == [Chip(0, 0, "0000:9d:00.0"), Chip(0, 1, "0000:9f:00.0")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (USAGES, {}),
        (TEMP, {"temperature_c": 39.0}),
        (POWER, {"power_w": 103.5}),
        (BOARD, {}),
        (COMMON, {"clock_mhz": 800.0, "temperature_c": 41.0, "power_w": 71.7}),
        (COMMON_WITH_MCU, {"clock_mhz": 1000.0, "temperature_c": 46.0, "power_w": 69.0}),
        (ASCEND_950, {"clock_mhz": 100.0, "temperature_c": 65.0, "power_w": 298.6}),
        (TEMP.replace("\n\n", "\n"), {"temperature_c": 39.0}),
        (COMMON_WITH_MCU.replace("\n\n", "\n"), {"clock_mhz": 1000.0, "temperature_c": 46.0, "power_w": 69.0}),
        (COMMON.replace("71.7", "NA"), {"clock_mhz": 800.0, "temperature_c": 41.0}),
        (COMMON.replace("800", "-").replace("41", "nan"), {"power_w": 71.7}),
        (COMMON.replace("\n", "\r\n"), {"clock_mhz": 800.0, "temperature_c": 41.0, "power_w": 71.7}),
    ],
)
def test_the_sensors_of_a_chip(text, expected):
    assert readings(text, 0) == expected
    assert readings(text, 1) == {}


def test_usages_are_read_without_the_header():
    assert fields(USAGES, 0) == {"hbmcapacity(mb)": "65536", "hbmusagerate(%)": "5", "aicoreusagerate(%)": "0"}


@pytest.mark.parametrize("between", ["", "\n"])
def test_each_chip_of_a_card_has_its_own(between):
    first = f"Chip ID : 0\nTemperature(C) : 47\n{between}Chip ID : 1\nTemperature(C) : 49\n"
    last = f"NPU Temperature (C) : 47\nChip ID : 0\n{between}NPU Temperature (C) : 49\nChip ID : 1\n"
    for text in (first, last):
        assert [readings(text, chip) for chip in (0, 1)] == [{"temperature_c": 47.0}, {"temperature_c": 49.0}]


@given(st.text(), st.integers(0, 3))
def test_any_text_is_read(text, chip):
    assert all(math.isfinite(value) for value in readings(text, chip).values())
    chips(text)


PIECES = st.sampled_from(
    [*A3_TABLE.splitlines(), *TEMP.splitlines(), *COMMON_WITH_MCU.splitlines(), "", ":", "|", "| |"]
)


@given(st.lists(PIECES), st.integers(0, 3))
def test_any_order_of_real_lines_is_read(lines, chip):
    text = "\n".join(lines)
    assert readings(text, chip).keys() <= {"clock_mhz", "temperature_c", "power_w"}
    for found in chips(text):
        assert found.bus.startswith("0000:9")


@pytest.mark.parametrize(("index", "visible", "chip"), [(1, "", 1), (0, "1", 1), (1, "1, 0", 0)])
def test_a_device_is_the_chip_that_is_visible_as_it(index, visible, chip):
    assert chip_of(index, A3_TABLE, visible).chip == chip


@pytest.mark.parametrize(("index", "visible"), [(2, ""), (1, "1"), (0, "7"), (0, "all"), (0, "²")])
def test_a_device_that_is_not_there_is_said_to_be_missing(index, visible):
    with pytest.raises(SensorsMissing, match="device"):
        chip_of(index, A3_TABLE, visible)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Puts a script in the place of `npu-smi`; counts its calls."""

    def install(body):
        script = tmp_path / "npu-smi"
        script.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{body}\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
        return lambda: (tmp_path / "calls").read_text().splitlines()

    return install


def answering(tmp_path, **answers):
    for kind, text in answers.items():
        (tmp_path / f"{kind}.txt").write_text(text)
    return f'case "$*" in info) cat {tmp_path}/table.txt ;; *) cat {tmp_path}/$5.txt ;; esac'


def test_one_call_tells_all_where_the_driver_does(tool, tmp_path):
    calls = tool(answering(tmp_path, table=A2_TABLE, common=COMMON_WITH_MCU))
    sensors = NpuSmi(0)
    assert sensors() == sensors() == {"clock_mhz": 1000.0, "temperature_c": 46.0, "power_w": 69.0}
    assert calls() == ["info", "info -i 0 -t common", "info -i 0 -t common"]


def test_what_common_leaves_out_is_asked_for(tool, tmp_path):
    calls = tool(answering(tmp_path, table=A2_TABLE, common="Aicore curFreq(MHZ) : 800", temp=TEMP, power=POWER))
    assert NpuSmi(0)() == {"clock_mhz": 800.0, "temperature_c": 39.0, "power_w": 103.5}
    assert calls()[1:] == ["info -i 0 -t common", "info -i 0 -t temp", "info -i 0 -t power"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo dcmi module initialize failed. ret is -8005; exit 1", "exit code 1: dcmi module initialize failed"),
        ("echo nothing like a table", "lists 0 chips"),
        (": > /dev/null; printf '\\377\\376'", "lists 0 chips"),
    ],
)
def test_a_broken_tool_is_missing_with_its_words(tool, body, words):
    tool(body)
    with pytest.raises(SensorsMissing, match=words):
        NpuSmi(0)()


def test_an_answer_without_sensors_is_missing(tool, tmp_path):
    tool(answering(tmp_path, table=A2_TABLE, common=BOARD, temp="", power="Chip ID : 0"))
    with pytest.raises(SensorsMissing, match="npu-smi info -i 0` tells no clock"):
        NpuSmi(0)()


def test_an_absent_tool_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SensorsMissing, match="could not be run: No such file"):
        ask("info")


def test_a_tool_that_hangs_is_missing(tool, monkeypatch):
    tool("exec sleep 60")
    monkeypatch.setattr("fiabench.devices.npu_smi.TIMEOUT_SECONDS", 0.2)
    with pytest.raises(SensorsMissing, match=r"no answer within 0\.2 s"):
        ask("info")
