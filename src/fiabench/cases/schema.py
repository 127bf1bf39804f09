"""The sweep file as pydantic models: every key with its type, default and meaning, and the JSON Schema of it all.

``python -m fiabench.cases.schema`` prints the JSON Schema that editors use (``sweeps/sweep.schema.json``).

Types are strict: `"8"` is no number and `true` is no 1. An error of a value says what is allowed in pydantic's error
context; :mod:`fiabench.cases.complaints` adds the place in the file. A key that was not given is empty or 0 here:
what it means then is decided in :mod:`fiabench.cases.resolve`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticCustomError

from fiabench.cases.errors import nearest
from fiabench.cases.models import models
from fiabench.cases.operators import operator_names
from fiabench.cases.quantities import parse_bytes

WRONG = "wrong_value"
"""Type of every error whose context says what is allowed."""

MAX_TOKENS = 1 << 30
MAX_COUNT = 1 << 16
MAX_SIZE = 1 << 46


def wrong(allowed: str, hint: str = "") -> PydanticCustomError:
    """The error of a value, in words: what may stand in its place."""
    return PydanticCustomError(WRONG, "{allowed}", {"allowed": allowed, "hint": hint})


def says(allowed: str) -> WrapValidator:
    """Puts every error of the annotated type into the words ``allowed``."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise wrong(allowed) from None

    return WrapValidator(check)


class Keys(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


# --- single values ---------------------------------------------------------------------------------------------------


def _named(names: Any) -> WrapValidator:
    """One of the names that a function lists when it is asked, with the nearest one as a hint."""

    def check(value: Any, handler: Any) -> Any:
        known = names()
        if not isinstance(value, str) or value not in known:
            raise wrong(", ".join(known), nearest(value, known) if isinstance(value, str) else "")
        return handler(value)

    return WrapValidator(check)


_SIZE_WORDS = "bytes as a whole number, or as 64 KiB, 512 MiB, 1 GiB"


def _size(value: Any, handler: Any) -> Any:
    try:
        return handler(parse_bytes(value) if isinstance(value, str) else value)
    except (ValidationError, ValueError):
        decimal = isinstance(value, str) and value.upper().endswith(("KB", "MB", "GB"))
        raise wrong(_SIZE_WORDS, "KiB is 1024 bytes; KB is not used" if decimal else "") from None


Tokens = Annotated[int, Field(strict=True, ge=1, le=MAX_TOKENS), says(f"a whole number from 1 to {MAX_TOKENS:,}")]
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT), says(f"a whole number from 1 to {MAX_COUNT:,}")]
Threads = Annotated[int, Field(strict=True, ge=0, le=4096), says("a whole number from 0 (shared out) to 4096")]
Size = Annotated[
    int,
    Field(strict=True, ge=1, le=MAX_SIZE),
    WrapValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
                {"type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)$"},
            ]
        }
    ),
]
Words = Annotated[str, Field(strict=True, min_length=1), says("text")]
Name = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80),
    says("a name of letters, digits, dots, dashes and underscores"),
]
ModelName = Annotated[str, Field(strict=True), _named(lambda: list(models()))]
OperatorName = Annotated[str, Field(strict=True), _named(operator_names)]


def _kind(value: Any) -> str | None:
    """Which form of a value was meant, from its YAML type and its keys; a bool is no number."""
    if isinstance(value, dict):
        for key, kind in (("video", "video"), ("model", "buffer"), ("tensors", "buffer")):
            if key in value:
                return kind
        return "range" if {"from", "to", "step", "times"} & set(value) else None
    if isinstance(value, list):
        return "list"
    return "text" if isinstance(value, str) else "number" if type(value) is int else None


def _size_kind(value: Any) -> str | None:
    """As :func:`_kind`, where a number and a text such as 64 KiB are one form."""
    kind = _kind(value)
    return "size" if kind in ("number", "text") else kind


def _when_kind(value: Any) -> str | None:
    """As :func:`_kind`, for a condition, where a mapping is always bounds and numbers and texts are one form."""
    return "bounds" if isinstance(value, dict) else "list" if isinstance(value, list) else "one"


def _forms(words: str, kind: Callable[[Any], str | None] = _kind) -> Discriminator:
    """Picks a union's member by the value's form; ``words`` say what is allowed where it has none of them."""
    return Discriminator(
        kind,
        custom_error_type=WRONG,
        custom_error_message="{allowed}",
        custom_error_context={"allowed": words, "hint": ""},
    )


class VideoSize(Keys):
    """A video's size, turned into tokens as the geometry's model does, or as Wan 14B where it is no preset."""

    width: Count = Field(description="Pixels; a multiple of 16 with Wan 14B.", examples=[1280])
    height: Count = Field(description="Pixels; a multiple of 16 with Wan 14B.", examples=[720])
    frames: Count = Field(description="Frames; one more than a multiple of 4 with Wan 14B.", examples=[81])


class Video(Keys):
    """A video's tokens: with Wan 14B ((frames - 1) / 4 + 1) * (height / 16) * (width / 16)."""

    video: VideoSize = Field(description="The video's size.", examples=[{"width": 1280, "height": 720, "frames": 81}])


class Buffer(Keys):
    """The exact bytes that one rank exchanges for a model: tokens / P * heads / tp * head_dim * element bytes."""

    model: ModelName = Field(description="A preset's name.", examples=["wan-14b"])
    seq_len_q: Tokens = Field(description="Tokens of the whole sequence.", examples=[75600])
    tensors: Count = Field(1, description="How many of q, k and v travel in the one exchange.", examples=[3])
    tp: Count = Field(1, description="Tensor parallel degree that divided the heads before.", examples=[2])


class Range(Keys):
    """Numbers from `from` up to and with `to`: give `step` (what is added) or `times` (the factor)."""

    from_: Tokens = Field(alias="from", description="The first number.", examples=[1024])
    to: Tokens = Field(description="No number is above this one.", examples=[1048576])
    step: Tokens = Field(default_factory=int, description="What is added each time.", examples=[1024])
    times: Annotated[int, Field(strict=True, ge=2), says("a whole number of at least 2")] = Field(
        default_factory=int, description="What each number is multiplied by.", examples=[2]
    )


class SizeRange(Keys):
    """Sizes from `from` up to and with `to`: give `step` (what is added) or `times` (the factor)."""

    from_: Size = Field(alias="from", description="The first size.", examples=["1 KiB"])
    to: Size = Field(description="No size is above this one.", examples=["512 MiB"])
    step: Size = Field(default_factory=int, description="What is added each time.", examples=["64 KiB"])
    times: Annotated[int, Field(strict=True, ge=2), says("a whole number of at least 2")] = Field(
        default_factory=int, description="What each size is multiplied by.", examples=[2]
    )


_RANGE = "{from: ..., to: ..., step or times: ...}"
_VIDEO = "{video: {width: ..., height: ..., frames: ...}}"
OneLength = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")],
    _forms(f"a whole number from 1, or {_VIDEO}"),
]
SomeLengths = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")] | Annotated[Range, Tag("range")],
    _forms(f"a whole number from 1, {_VIDEO} or {_RANGE}"),
]
_SAME = Annotated[Literal["same"], says("the word same, or a whole number from 1"), Tag("text")]
OneKvLength = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")] | _SAME,
    _forms(f"same, a whole number from 1, or {_VIDEO}"),
]
SomeKvLengths = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")] | _SAME | Annotated[Range, Tag("range")],
    _forms(f"same, a whole number from 1, {_VIDEO} or {_RANGE}"),
]
SomeCounts = Annotated[
    Annotated[Count, Tag("number")] | Annotated[Range, Tag("range")],
    _forms(f"a whole number from 1 to {MAX_COUNT:,}, or {_RANGE}"),
]
OneKvCount = Annotated[
    Annotated[Count, Tag("number")] | _SAME, _forms(f"same, or a whole number from 1 to {MAX_COUNT:,}")
]
_BUFFER = "{model: ..., seq_len_q: ..., tensors: ...}"
OneSize = Annotated[
    Annotated[Size, Tag("size")] | Annotated[Buffer, Tag("buffer")],
    _forms(f"{_SIZE_WORDS}, or {_BUFFER}", _size_kind),
]
SomeSizes = Annotated[
    Annotated[Size, Tag("size")] | Annotated[Buffer, Tag("buffer")] | Annotated[SizeRange, Tag("range")],
    _forms(f"{_SIZE_WORDS}, {_BUFFER} or {_RANGE}", _size_kind),
]
Dtype = Annotated[Literal["fp16", "bf16", "fp32"], says("fp16, bf16, fp32")]
Layout = Annotated[Literal["BNSD", "BSND"], says("BNSD, BSND")]
Mask = Annotated[Literal["none", "causal"], says("none, causal")]
Exchange = Annotated[Literal["separate", "packed"], says("separate, packed")]
WhenExchange = Annotated[Literal["separate", "packed", "none"], says("separate, packed, none")]
Measure = Annotated[Literal["ulysses", "kernel", "exchange"], says("ulysses, kernel, exchange")]


# --- axes ------------------------------------------------------------------------------------------------------------


class AxisKey(NamedTuple):
    """What one axis is: its types where one value stands, where several stand, and its meaning."""

    one: Any
    some: Any
    default: Any
    """The value of an axis that nobody gave; None where it must be given or comes from the geometry."""
    meaning: str
    example: Any
    measures: tuple[str, ...] = ("ulysses", "kernel")
    """What it means anything for."""


_ALL = ("ulysses", "kernel", "exchange")

AXES: dict[str, AxisKey] = {
    "seq_len_q": AxisKey(OneLength, SomeLengths, None, "Query tokens of the whole sequence, before sharding.", 25200),
    "seq_len_kv": AxisKey(
        OneKvLength, SomeKvLengths, "same", "Key tokens of the whole sequence; `same` as seq_len_q.", 512
    ),
    "batch": AxisKey(Count, SomeCounts, 1, "Sequences in one call.", 2),
    "heads": AxisKey(Count, SomeCounts, None, "Query heads of the whole model, in place of the geometry's.", 40),
    "kv_heads": AxisKey(
        OneKvCount,
        Annotated[
            Annotated[Count, Tag("number")] | _SAME | Annotated[Range, Tag("range")],
            _forms(f"same, a whole number from 1 to {MAX_COUNT:,}, or {_RANGE}"),
        ],
        None,
        "Key and value heads of the whole model, in place of the geometry's; `same` as heads.",
        8,
    ),
    "head_dim": AxisKey(Count, SomeCounts, None, "Elements of one head, in place of the geometry's.", 128),
    "tp": AxisKey(Count, SomeCounts, 1, "Tensor parallel degree: divides the heads before Ulysses does.", 2),
    "ulysses": AxisKey(
        Count, SomeCounts, 1, "Ulysses degree: ranks that exchange sequence shards for head shards.", 4, _ALL
    ),
    "dtype": AxisKey(Dtype, Dtype, "bf16", "Type of every element: fp16, bf16 or fp32.", "bf16", _ALL),
    "layout": AxisKey(Layout, Layout, "BNSD", "The operator's input layout: BNSD or BSND.", "BNSD"),
    "mask": AxisKey(Mask, Mask, "none", "none, or causal (the last query sees every key).", "causal"),
    "op": AxisKey(OperatorName, OperatorName, "fia", "The operator under test: a file in src/fiabench/ops.", "fia"),
    "exchange": AxisKey(
        Exchange,
        Exchange,
        "separate",
        "How q, k and v travel: separate (one exchange each) or packed (one for all). Means nothing on one rank.",
        "packed",
    ),
    "threads": AxisKey(
        Threads,
        Annotated[Annotated[Threads, Tag("number")] | Annotated[Range, Tag("range")], _forms("a whole number")],
        0,
        "CPU threads of one rank; 0 shares the machine's cores out among the ranks.",
        2,
        _ALL,
    ),
    "exchange_bytes": AxisKey(
        OneSize,
        SomeSizes,
        None,
        "One rank's whole send buffer, where an exchange is measured alone: bytes, a size, or a preset's exact size.",
        "64 KiB",
        ("exchange",),
    ),
}
"""Every axis by name. What may be swept, set as a constant, included and excluded all follows from here."""


class Bounds(Keys):
    """Numbers within bounds; every bound given must hold."""

    below: Size = Field(default_factory=int, description="Less than this.", examples=[2048])
    above: Size = Field(default_factory=int, description="More than this.", examples=[100000])
    at_least: Size = Field(default_factory=int, description="This or more.", examples=[1024])
    at_most: Size = Field(default_factory=int, description="This or less.", examples=[65536])


def _when(name: str, one: Any) -> Any:
    """The condition on one axis: a value, a list of values, or bounds where values are numbers."""
    if name in ("dtype", "layout", "mask", "op", "exchange"):
        one = WhenExchange if name == "exchange" else one
        members = [Annotated[one, Tag("one")], Annotated[list[one], Field(min_length=1), Tag("list")]]
        return Annotated[reduce(or_, members), _forms("a value or a list of values", _when_kind)]
    one = Threads if name == "threads" else Size if name == "exchange_bytes" else Tokens
    members = [
        Annotated[one, Tag("one")],
        Annotated[list[one], Field(min_length=1), Tag("list")],
        Annotated[Bounds, Tag("bounds")],
    ]
    words = "a whole number, a list of them, or {below, above, at_least, at_most: ...}"
    return Annotated[reduce(or_, members), _forms(words, _when_kind)]


def _model_of_axes(name: str, doc: str, fields: dict[str, tuple[Any, Any]]) -> type[Keys]:
    return create_model(name, __base__=Keys, __doc__=doc, **fields)  # type: ignore[call-overload, no-any-return]


Axes = _model_of_axes(
    "Axes",
    "Axes and the values each takes.",
    {
        name: (
            Annotated[list[key.some], Field(min_length=1)],  # type: ignore[name-defined]
            Field(default_factory=list, description=key.meaning, examples=[[key.example]]),
        )
        for name, key in AXES.items()
    },
)
Constants = _model_of_axes(
    "Constants",
    "Axes that have one value in the whole sweep.",
    {
        name: (
            key.one,
            Field(
                **({"default": key.default} if key.default is not None else {"default_factory": type(None)}),
                description=key.meaning,
                examples=[key.example],
            ),
        )
        for name, key in AXES.items()
    },
)
Point = _model_of_axes(
    "Point",
    "One extra point: axes and the one value of each.",
    {
        name: (key.one, Field(default_factory=type(None), description=key.meaning, examples=[key.example]))
        for name, key in AXES.items()
    },
)
When = _model_of_axes(
    "When",
    "Conditions on axes; all must hold.",
    {
        name: (
            _when(name, key.one),
            Field(default_factory=type(None), description=key.meaning, examples=[key.example]),
        )
        for name, key in AXES.items()
    },
)


# --- the file --------------------------------------------------------------------------------------------------------


class Exclude(Keys):
    """Points to leave out of the product, with the reason that `plan` and the tables give."""

    when: When = Field(  # type: ignore[valid-type]
        description="Axis to value, list of values or bounds; a point is left out where all hold.",
        examples=[{"ulysses": 8, "seq_len_q": {"below": 2048}}],
    )
    because: Words = Field(description="The reason, in a few words.", examples=["too few tokens to exchange"])


class Geometry(Keys):
    """The model's heads before sharding: a preset, or explicit numbers. Numbers beside a preset replace its own."""

    model: ModelName = Field(
        default_factory=str,
        description="The name of a preset in src/fiabench/cases/models.yaml.",
        examples=["wan-14b"],
    )
    heads: Count = Field(default_factory=int, description="Query heads.", examples=[40])
    kv_heads: Count = Field(default_factory=int, description="Key and value heads; as heads by default.", examples=[8])
    head_dim: Count = Field(default_factory=int, description="Elements of one head.", examples=[128])


_Fraction = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False), says("a number between 0 and 1")]
_Seconds = Annotated[
    float, Field(strict=True, ge=0, le=86400, allow_inf_nan=False), says("seconds: a number from 0 to 86400")
]
_Samples = Annotated[int, Field(strict=True, ge=1, le=1_000_000), says("a whole number from 1 to 1,000,000")]


class Sampling(Keys):
    """When a case has been sampled enough."""

    half_width: _Fraction = Field(
        0.005,
        description="A case is settled when the median's confidence interval is this narrow, as a fraction of it.",
    )
    min_samples: _Samples = Field(10, description="Samples that a settled case has at least.")
    max_samples: _Samples = Field(200, description="Samples after which a case ends, settled or not.")
    max_seconds: _Seconds = Field(
        30.0, description="Seconds of sampling after which a case ends, settled or not, once it has three samples."
    )
    warmup_max_seconds: _Seconds = Field(
        10.0, description="Seconds after which warming up ends, steady or not, once each call was made once."
    )
    deadline_seconds: _Seconds = Field(
        0.0, description="Seconds after which a case that has not ended is a timeout; 0 takes ten times its estimate."
    )


_MEASURE: Any = Field(
    "ulysses",
    description="ulysses (exchanges around the kernel), kernel (one rank's kernel alone) or exchange (one all-to-all "
    "alone).",
)
_REPLICAS: Any = Field(
    "one",
    description="one: one Ulysses group runs and stands for its tensor parallel siblings; all: every group at once.",
)
_INDIVISIBLE: Any = Field(
    "error",
    description="What heads, tokens or bytes that the shards do not divide are: an error, or excluded with the reason.",
)
Replicas = Annotated[Literal["one", "all"], says("one, all")]
Indivisible = Annotated[Literal["error", "exclude"], says("error, exclude")]


class Profile(Keys):
    """What a profile changes. Keys of geometry, zip, exclude and include replace the whole section; keys within axes,
    constants and sampling replace one entry."""

    about: Words = Field(default_factory=str, description="One sentence about the sweep in this profile.")
    geometry: Geometry = Field(default_factory=Geometry, description="Replaces the sweep's geometry.")
    measure: Measure = _MEASURE
    axes: Axes = Field(default_factory=Axes, description="Replaces axes, one by one.")  # type: ignore[valid-type]
    zip: list[Axes] = Field(default_factory=list, description="Replaces every group.")  # type: ignore[valid-type]
    constants: Constants = Field(default_factory=Constants, description="Replaces constants, one by one.")  # type: ignore[valid-type]
    replicas: Replicas = _REPLICAS
    indivisible: Indivisible = _INDIVISIBLE
    exclude: list[Exclude] = Field(default_factory=list, description="Replaces every rule.")
    include: list[Point] = Field(default_factory=list, description="Replaces every point.")  # type: ignore[valid-type]
    sampling: Sampling = Field(default_factory=Sampling, description="Replaces settings, one by one.")


class SweepFile(Keys):
    """A sweep: which cases to measure, and how long to sample each."""

    name: Name = Field(description="The sweep's name; its run directory is called after it.", examples=["quick"])
    about: Words = Field(description="One sentence about what it is for.", examples=["All phases in minutes."])
    geometry: Geometry = Field(
        default_factory=Geometry, description="The model's heads.", examples=[{"model": "wan-14b"}]
    )
    measure: Measure = _MEASURE
    axes: Axes = Field(  # type: ignore[valid-type]
        default_factory=Axes, description="Every combination of these is a point.", examples=[{"ulysses": [1, 2, 4]}]
    )
    zip: list[Axes] = Field(  # type: ignore[valid-type]
        default_factory=list,
        description="Groups of axes that move together: the lists of a group are equally long.",
        examples=[[{"tp": [1, 2], "batch": [1, 2]}]],
    )
    constants: Constants = Field(  # type: ignore[valid-type]
        default_factory=Constants, description="Axes with one value.", examples=[{"dtype": "fp16"}]
    )
    replicas: Replicas = _REPLICAS
    indivisible: Indivisible = _INDIVISIBLE
    exclude: list[Exclude] = Field(default_factory=list, description="Points of the product to leave out.")
    include: list[Point] = Field(  # type: ignore[valid-type]
        default_factory=list,
        description="Points beside the product; exclude does not apply to them.",
        examples=[[{"seq_len_q": 151200, "ulysses": 8}]],
    )
    sampling: Sampling = Field(default_factory=Sampling, description="How long to sample each case.")
    profiles: dict[Name, Profile] = Field(
        default_factory=dict,
        description="Named variants of the sweep (`--profile`), each with what it changes.",
        examples=[{"quick": {"axes": {"seq_len_q": [1008]}}}],
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a sweep file."""
    made = f"Made by python -m fiabench.cases.schema with pydantic {pydantic.VERSION}"
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": made}
    return {**head, **SweepFile.model_json_schema(by_alias=True)}


def json_schema_text() -> str:
    """The JSON Schema as ``sweeps/sweep.schema.json`` holds it."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema_text(), end="")
