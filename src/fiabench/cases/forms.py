"""The forms that a value of a sweep file may have: numbers, sizes, videos, ranges, buffers, and words of a few.

Types are strict: `"8"` is no number and `true` is no 1. An error of a value says what is allowed in pydantic's error
context; :mod:`fiabench.cases.complaints` adds the place in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from fiabench.cases.case import ATTENTION_ADAPTERS, EXCHANGE_ADAPTERS, KV_CACHE_LAYOUTS
from fiabench.cases.errors import nearest
from fiabench.cases.models import models
from fiabench.cases.quantities import parse_bytes
from fiabench.cases.variables import NAME, OWN, OWN_PREFIX, VALUE, is_own

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
_CALLED = r"^[A-Za-z_][A-Za-z0-9_]*$"
OperatorName = Annotated[
    str, Field(strict=True, pattern=_CALLED), says("an operator's or a project's name: letters, digits, underscores")
]
AdapterName = Annotated[str, Field(strict=True), _named(lambda: [*ATTENTION_ADAPTERS, *EXCHANGE_ADAPTERS])]
_METRICS = Literal[
    "kernel",
    "all_to_all",
    "transfer",
    "transfer_natural",
    "completion",
    "wait",
    "ring_exchange",
    "merge",
    "exposed",
    "total",
    "all_to_all_share",
    "closure_residual",
    "achieved_flops",
    "mfu",
    "tokens_per_s",
    "algbw",
    "busbw",
    "ratio",
    "dispatch",
    "dispatch_ratio",
    "first_call",
    "padding",
    "peak_memory",
]
"""Those of results/metrics.py, which a sweep has to know before there is a result."""
MetricName = Annotated[_METRICS, _named(lambda: get_args(_METRICS))]
ProjectName = Annotated[str, Field(strict=True, pattern=_CALLED), says("a name of letters, digits and underscores")]


def _variable(value: Any, handler: Any) -> Any:
    try:
        name: str = handler(value)
    except ValidationError:
        raise wrong("a name of letters, digits and underscores") from None
    if is_own(name):
        raise wrong(f"a variable that fiabench does not set itself: none of {', '.join(OWN)}, {OWN_PREFIX}...")
    return name


VariableName = Annotated[str, Field(strict=True, pattern=NAME, max_length=80), WrapValidator(_variable)]
VariableValue = Annotated[
    Annotated[str, Field(strict=True, pattern=VALUE, max_length=80)]
    | Annotated[int, Field(strict=True), AfterValidator(str)],
    says("a whole number, or a word of letters, digits and _ . : / + @ -"),
]


def kind_of(value: Any) -> str | None:
    """Which form of a value was meant, from its YAML type and its keys; a bool is no number."""
    if isinstance(value, dict):
        for key, kind in (("video", "video"), ("model", "buffer"), ("tensors", "buffer")):
            if key in value:
                return kind
        return "range" if {"from", "to", "step", "times"} & set(value) else None
    if isinstance(value, list):
        return "list"
    return "text" if isinstance(value, str) else "number" if type(value) is int else None


def size_kind(value: Any) -> str | None:
    """As :func:`kind_of`, where a number and a text such as 64 KiB are one form."""
    kind = kind_of(value)
    return "size" if kind in ("number", "text") else kind


def when_kind(value: Any) -> str | None:
    """As :func:`kind_of`, for a condition, where a mapping is always bounds and numbers and texts are one form."""
    return "bounds" if isinstance(value, dict) else "list" if isinstance(value, list) else "one"


def forms(words: str, kind: Callable[[Any], str | None] = kind_of) -> Discriminator:
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


class Bounds(Keys):
    """Numbers within bounds; every bound given must hold."""

    below: Size = Field(default_factory=int, description="Less than this.", examples=[2048])
    above: Size = Field(default_factory=int, description="More than this.", examples=[100000])
    at_least: Size = Field(default_factory=int, description="This or more.", examples=[1024])
    at_most: Size = Field(default_factory=int, description="This or less.", examples=[65536])


RANGE = "{from: ..., to: ..., step or times: ...}"
_VIDEO = "{video: {width: ..., height: ..., frames: ...}}"
OneLength = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")],
    forms(f"a whole number from 1, or {_VIDEO}"),
]
SomeLengths = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")] | Annotated[Range, Tag("range")],
    forms(f"a whole number from 1, {_VIDEO} or {RANGE}"),
]
SAME = Annotated[Literal["same"], says("the word same, or a whole number from 1"), Tag("text")]
OneKvLength = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")] | SAME,
    forms(f"same, a whole number from 1, or {_VIDEO}"),
]
SomeKvLengths = Annotated[
    Annotated[Tokens, Tag("number")] | Annotated[Video, Tag("video")] | SAME | Annotated[Range, Tag("range")],
    forms(f"same, a whole number from 1, {_VIDEO} or {RANGE}"),
]
SomeCounts = Annotated[
    Annotated[Count, Tag("number")] | Annotated[Range, Tag("range")],
    forms(f"a whole number from 1 to {MAX_COUNT:,}, or {RANGE}"),
]
OneKvCount = Annotated[
    Annotated[Count, Tag("number")] | SAME, forms(f"same, or a whole number from 1 to {MAX_COUNT:,}")
]
_BUFFER = "{model: ..., seq_len_q: ..., tensors: ...}"
OneSize = Annotated[
    Annotated[Size, Tag("size")] | Annotated[Buffer, Tag("buffer")],
    forms(f"{_SIZE_WORDS}, or {_BUFFER}", size_kind),
]
SomeSizes = Annotated[
    Annotated[Size, Tag("size")] | Annotated[Buffer, Tag("buffer")] | Annotated[SizeRange, Tag("range")],
    forms(f"{_SIZE_WORDS}, {_BUFFER} or {RANGE}", size_kind),
]
Dtype = Annotated[Literal["fp16", "bf16", "fp32"], says("fp16, bf16, fp32")]
Layout = Annotated[
    Literal["BNSD", "BSND", "BSH", "BNSD_BSND", "BNSD_NBSD", "TND", "NTD_TND"],
    says("BNSD, BSND, BSH, BNSD_BSND, BNSD_NBSD, TND, NTD_TND"),
]
Mask = Annotated[
    Literal["none", "causal", "causal_top_left", "causal_full"], says("none, causal, causal_top_left, causal_full")
]
Inputs = Annotated[Literal["contiguous", "strided"], says("contiguous, strided")]
Cache = Annotated[Literal["hot", "cold"], says("hot, cold")]
KvCache = Annotated[
    str,
    Field(strict=True, pattern=rf"^(contiguous|paged_({'|'.join(KV_CACHE_LAYOUTS)})_[1-9][0-9]*)$", max_length=40),
    says(f"contiguous, or paged_LAYOUT_BLOCKSIZE with the layouts {', '.join(KV_CACHE_LAYOUTS)}: paged_BNBD_128"),
]
ExchangeName = Annotated[str, Field(strict=True, pattern=_CALLED), says("separate, packed, or a project's name")]
Measure = Annotated[Literal["ulysses", "kernel", "exchange"], says("ulysses, kernel, exchange")]
SomeKvCounts = Annotated[
    Annotated[Count, Tag("number")] | SAME | Annotated[Range, Tag("range")],
    forms(f"same, a whole number from 1 to {MAX_COUNT:,}, or {RANGE}"),
]
SomeThreads = Annotated[
    Annotated[Threads, Tag("number")] | Annotated[Range, Tag("range")],
    forms(f"a whole number from 0 (shared out) to 4096, or {RANGE}"),
]
