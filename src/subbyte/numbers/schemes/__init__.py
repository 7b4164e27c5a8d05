"""The number families: how a group of weights becomes codes, levels and a scale. SCHEMES lists what exists."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any, ClassVar, Protocol

from subbyte.errors import SchemeError
from subbyte.numbers.arrays import Array
from subbyte.numbers.granularity import (
    Granularity,
    RowClusters,
    clusters_from_plain,
    granularity_from_plain,
    granularity_to_plain,
)
from subbyte.numbers.schemes.binary_coding import BinaryCoding
from subbyte.numbers.schemes.entropy_coded import EntropyCoded
from subbyte.numbers.schemes.fitting import Params, unknown
from subbyte.numbers.schemes.logarithmic import Logarithmic
from subbyte.numbers.schemes.normal import Normal
from subbyte.numbers.schemes.uniform import Uniform

__all__ = [
    "SCHEMES",
    "BinaryCoding",
    "Clustered",
    "EntropyCoded",
    "Logarithmic",
    "Normal",
    "Params",
    "Scheme",
    "Uniform",
    "from_plain",
    "to_plain",
]


class Scheme(Protocol):
    """One number family at one width. A frozen dataclass whose fields are the keys a recipe may write.

    Arrays are numpy's or torch's; weights come as [rows, groups, size] (`granularity.grouped`).
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def bits(self) -> int:
        """Bits of a code."""

    @property
    def granularity(self) -> Granularity:
        """Which weights share parameters."""

    @property
    def levels(self) -> tuple[int, ...] | None:
        """The integer in -127..127 of each of the 2**bits codes; None where each group has its own (alphas)."""

    def fit(self, w: Array) -> Params:
        """The parameters of each group, rounded as they are stored: scale and, by scheme, zero or alphas."""

    def encode(self, w: Array, params: Params) -> Array:
        """The codes of the nearest levels, uint8, each < 2**bits."""

    def decode(self, codes: Array, params: Params) -> Array:
        """The values of `codes`, float32: exactly those of the stored scale and integer levels."""


SCHEMES: Mapping[str, type[Scheme]] = {
    "uniform": Uniform,
    "logarithmic": Logarithmic,
    "normal": Normal,
    "binary_coding": BinaryCoding,
    "entropy_coded": EntropyCoded,
}


@dataclass(frozen=True)
class Clustered:
    """Rows of a matrix by how often their words occur: cluster i of `clusters` gets `scheme` with i bits less.

    each  what is otherwise instead, for each cluster: names and values of options of the scheme
    """

    scheme: Scheme
    clusters: RowClusters
    each: tuple[tuple[tuple[str, Any], ...], ...] = ()

    def __post_init__(self) -> None:
        if self.each and len(self.each) != self.clusters.count:
            raise SchemeError(f"clusters.each: expected {self.clusters.count} of them, got {len(self.each)}")
        if not self.each and self.clusters.count > self.scheme.bits:
            raise SchemeError(f"{self.clusters.count} clusters need as many bits, got {self.scheme.bits}")
        if {one.granularity for one in self.schemes} != {self.granularity}:
            raise SchemeError("clusters.each: all rows share one granularity")

    @property
    def granularity(self) -> Granularity:
        """Which weights share parameters."""
        return self.scheme.granularity

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The scheme of each cluster."""
        each = self.each or [(("bits", self.scheme.bits - i),) for i in range(self.clusters.count)]
        return tuple(replace(self.scheme, **dict(options)) for options in each)


def to_plain(scheme: Scheme | Clustered) -> dict[str, Any]:
    """The scheme as plain data, every option written out: what a recipe could say, and what a folder stores."""
    if isinstance(scheme, Clustered):
        clusters: dict[str, Any] = {"count": scheme.clusters.count, "ratio": scheme.clusters.ratio}
        if scheme.each:
            clusters["each"] = [dict(options) for options in scheme.each]
        return {**to_plain(scheme.scheme), "clusters": clusters}
    family = next(name for name, kind in SCHEMES.items() if type(scheme) is kind)
    options = {field.name: getattr(scheme, field.name) for field in fields(scheme)}
    return {"family": family, **options, "granularity": granularity_to_plain(scheme.granularity)}


def from_plain(plain: Mapping[str, Any]) -> Scheme | Clustered:
    """The scheme that plain data describes.

    >>> from_plain({"family": "binary_coding", "bits": 3, "granularity": "row"})
    BinaryCoding(bits=3, granularity=PerRow(), solver='alternating', rounds=15)
    """
    options = dict(plain)
    family = options.pop("family", None)
    clusters = options.pop("clusters", None)
    if family not in SCHEMES:
        raise SchemeError(unknown("family", family, SCHEMES))
    kind = SCHEMES[family]
    known = [field.name for field in fields(kind)]
    for key in options:
        if key not in known:
            raise SchemeError(unknown(f"key of {family}", key, ["family", *known, "clusters"]))
    for field in fields(kind):
        if field.default is MISSING and field.name not in options:
            raise SchemeError(f"{family}: {field.name} is missing")
    if "granularity" in options:
        options["granularity"] = granularity_from_plain(options["granularity"])
    scheme = kind(**options)
    if clusters is None:
        return scheme
    each = clusters.get("each", []) if isinstance(clusters, dict) else []
    if not isinstance(each, list) or not all(isinstance(one, dict) for one in each):
        raise SchemeError(f"clusters.each: expected a table for each cluster, got {each!r}")
    for key in (key for one in each for key in one):
        if key not in known or key == "granularity":
            raise SchemeError(unknown("key of clusters.each", key, [name for name in known if name != "granularity"]))
    named = {key: value for key, value in clusters.items() if key != "each"} if isinstance(clusters, dict) else clusters
    return Clustered(scheme, clusters_from_plain(named), tuple(tuple(one.items()) for one in each))
