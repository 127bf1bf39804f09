"""The sweep file as pydantic models: every key with its type, default and meaning, and the JSON Schema of it all.

``python -m fiabench.cases.schema`` prints the JSON Schema that editors use (``sweeps/sweep.schema.json``).

A key that was not given is empty or 0 here: what it means then is decided in :mod:`fiabench.cases.resolve`.
"""

from __future__ import annotations

import json
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, Tag, create_model

from fiabench.cases.axes import AXES
from fiabench.cases.forms import (
    AdapterName,
    Bounds,
    Count,
    Keys,
    Measure,
    MetricName,
    ModelName,
    Name,
    ProjectName,
    Size,
    Threads,
    Tokens,
    VariableName,
    VariableValue,
    Words,
    forms,
    says,
    when_kind,
)

_OF_WORDS = ("dtype", "layout", "mask", "op", "exchange", "inputs", "kv_cache", "against", "cache")


def _when(name: str, one: Any) -> Any:
    """The condition on one axis: a value, a list of values, or bounds where values are numbers."""
    if name in _OF_WORDS:
        members = [Annotated[one, Tag("one")], Annotated[list[one], Field(min_length=1), Tag("list")]]
        return Annotated[reduce(or_, members), forms("a value or a list of values", when_kind)]
    one = Threads if name == "threads" else Size if name == "exchange_bytes" else Tokens
    members = [
        Annotated[one, Tag("one")],
        Annotated[list[one], Field(min_length=1), Tag("list")],
        Annotated[Bounds, Tag("bounds")],
    ]
    words = "a whole number, a list of them, or {below, above, at_least, at_most: ...}"
    return Annotated[reduce(or_, members), forms(words, when_kind)]


def _model_of_axes(name: str, doc: str, fields: dict[str, tuple[Any, Any]]) -> type[Keys]:
    return create_model(name, __base__=Keys, __doc__=doc, **fields)  # type: ignore[call-overload]


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


_Bound = Annotated[float | None, Field(strict=True, allow_inf_nan=False), says("a number, in SI units")]
_Fraction = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False), says("a number between 0 and 1")]
_Seconds = Annotated[
    float, Field(strict=True, ge=0, le=86400, allow_inf_nan=False), says("seconds: a number from 0 to 86400")
]
Criterion = Annotated[
    Literal["median_interval", "fixed_count", "fixed_time"], says("median_interval, fixed_count, fixed_time")
]
_Samples = Annotated[int, Field(strict=True, ge=1, le=1_000_000), says("a whole number from 1 to 1,000,000")]


class Sampling(Keys):
    """When a case has been sampled enough."""

    criterion: Criterion = Field(
        "median_interval",
        description="median_interval (until the median's interval is narrow), fixed_count (max_samples samples) or "
        "fixed_time (max_seconds of samples). max_samples and max_seconds bound every case.",
    )
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


class Project(Keys):
    """Code of another project, under measurement as it stands."""

    adapter: AdapterName = Field(
        description="How it is called: an adapter in src/fiabench/projects.", examples=["sglang_ascend_fa"]
    )
    path: Words = Field(
        default_factory=str,
        description="The folder of its packages, relative to the sweep file; `--project NAME=PATH` replaces it.",
        examples=["../../sglang/python"],
    )
    target: Words = Field(
        default_factory=str,
        description="What is called, as module:callable, where the adapter does not know by itself.",
        examples=["mypackage.attention:forward"],
    )


class Claim(Keys):
    """What the sweep's measurements must show."""

    claim: Words = Field(description="The claim, in a sentence.", examples=["The fix costs nothing."])
    metric: MetricName = Field(description="The metric that it speaks of.", examples=["ratio"])
    at_most: _Bound = Field(None, description="The metric is at most this, in SI units.", examples=[1.02])
    at_least: _Bound = Field(None, description="The metric is at least this, in SI units.", examples=[0.98])
    when: When = Field(  # type: ignore[valid-type]
        default_factory=When, description="The cases it speaks of; all of them by default.", examples=[{"ulysses": 1}]
    )


_PROJECTS: Any = Field(
    default_factory=dict,
    description="Outside projects by the name that op, exchange and against call them.",
    examples=[{"sglang": {"adapter": "sglang_ascend_fa"}}],
)
_VARIABLES: Any = Field(
    default_factory=dict,
    description="Environment variables of the ranks: every combination of their values is a point of each case.",
    examples=[{"TASK_QUEUE_ENABLE": [1, 2]}],
)
Variables = dict[VariableName, Annotated[list[VariableValue], Field(min_length=1)]]
_CLAIMS: Any = Field(default_factory=list, description="What the measurements must show; checked at the end of a run.")
_REPLICAS: Any = Field(
    "one",
    description="one: one Ulysses group runs and stands for its tensor parallel siblings; all: every group at once.",
)
_INDIVISIBLE: Any = Field(
    "error",
    description="What heads, tokens or bytes that the shards do not divide are: an error, excluded with the reason, or "
    "padded (heads and tokens).",
)
Replicas = Annotated[Literal["one", "all"], says("one, all")]
Indivisible = Annotated[Literal["error", "exclude", "pad"], says("error, exclude, pad")]


class Profile(Keys):
    """What a profile changes. Keys within axes, constants and sampling replace one entry; any other key replaces the
    whole section."""

    about: Words = Field(default_factory=str, description="One sentence about the sweep in this profile.")
    geometry: Geometry = Field(default_factory=Geometry, description="Replaces the sweep's geometry.")
    measure: Measure = _MEASURE
    axes: Axes = Field(default_factory=Axes, description="Replaces axes, one by one.")  # type: ignore[valid-type]
    zip: list[Axes] = Field(default_factory=list, description="Replaces every group.")  # type: ignore[valid-type]
    constants: Constants = Field(default_factory=Constants, description="Replaces constants, one by one.")  # type: ignore[valid-type]
    variables: Variables = _VARIABLES
    replicas: Replicas = _REPLICAS
    indivisible: Indivisible = _INDIVISIBLE
    exclude: list[Exclude] = Field(default_factory=list, description="Replaces every rule.")
    include: list[Point] = Field(default_factory=list, description="Replaces every point.")  # type: ignore[valid-type]
    projects: dict[ProjectName, Project] = _PROJECTS
    claims: list[Claim] = _CLAIMS
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
    variables: Variables = _VARIABLES
    replicas: Replicas = _REPLICAS
    indivisible: Indivisible = _INDIVISIBLE
    exclude: list[Exclude] = Field(default_factory=list, description="Points of the product to leave out.")
    include: list[Point] = Field(  # type: ignore[valid-type]
        default_factory=list,
        description="Points beside the product; exclude does not apply to them.",
        examples=[[{"seq_len_q": 151200, "ulysses": 8}]],
    )
    projects: dict[ProjectName, Project] = _PROJECTS
    claims: list[Claim] = _CLAIMS
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
