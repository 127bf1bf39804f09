"""Values as people read them. Inside, everything is SI: seconds, bytes, FLOP/s, bytes/s, ratios."""

from __future__ import annotations

_DURATIONS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BINARY = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
_ROUNDS_UP = 0.9995
"""Of a unit, from which on three digits show it as 1.00 rather than as 1,000 of the smaller one."""
_HARDLY = 2.0
"""How far an interval is told, in times of its value: two sessions alone have one of ten times as much."""


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def seconds(value: float) -> str:
    scale, unit = next((pair for pair in _DURATIONS if abs(value) >= pair[0] * _ROUNDS_UP), _DURATIONS[-1])
    return f"{_digits(value / scale)} {unit}"


def span(value: float) -> str:
    """A waiting time for people: `42 s`, `3 min 05 s`, `2 h 10 min`, `3 days`."""
    if not value < 2 * 86400:
        return f"{value / 86400:,.0f} days"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(value: float) -> str:
    scale, unit = next((pair for pair in _BINARY if abs(value) >= pair[0] * _ROUNDS_UP), _BINARY[-1])
    return f"{value:.0f} B" if scale == 1 else f"{_digits(value / scale)} {unit}"


def rate(value: float, unit: str) -> str:
    """`1.63 TFLOP/s` for (1.63e12, "FLOP/s")."""
    scale, prefix = next((pair for pair in _DECIMAL if abs(value) >= pair[0] * _ROUNDS_UP), _DECIMAL[-1])
    return f"{_digits(value / scale)} {prefix}{unit}"


def percent(value: float) -> str:
    text = f"{100 * value:.1f}" if abs(value) < 0.0995 else f"{100 * value:.0f}"
    return f"{text} %"


def relative(value: float) -> str:
    """`+5.1 %` for a change of 0.051."""
    places = 0 if abs(value) >= 0.0995 else 1
    return f"{round(100 * value, places) + 0.0:+.{places}f} %"  # no -0.0


def spread(low: float, high: float, value: float) -> str:
    """Half of an interval, as a part of ``value``: `±3.1 %`, and beyond twice the value, where few samples say hardly
    anything, `±>200 %`."""
    half = (high - low) / (2 * abs(value))
    return f"±{percent(half)}" if half <= _HARDLY else f"±>{percent(_HARDLY)}"


def factor(value: float) -> str:
    """`1.01` for a ratio that is one of two times."""
    return _digits(value)


def human(value: float, unit: str) -> str:
    """``value`` in its declared ``unit`` (`s`, `B`, `ratio`, `FLOP/s`, `B/s`, `tokens/s`) as people read it."""
    if unit == "s":
        return seconds(value)
    if unit == "B":
        return size(value)
    if unit == "ratio":
        return percent(value)
    return rate(value, unit)
