"""`subbyte demo`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subbyte.cli.options import Isa, Json, Threads
from subbyte.cli.printing import print_json, print_pairs, stages

if TYPE_CHECKING:
    from subbyte.measure.demo import Demonstration


def demo(
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep both models there.  [default: the user's cache]")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace older models in FOLDER, if they are as subbyte wrote them.")
    ] = False,
    threads: Threads = None,
    isa: Isa = "best",
    json: Json = False,
) -> None:
    """Compress the small English-German model that ships, and translate with it before and after. Needs no network."""
    from subbyte.measure.demo import demonstrate

    with stages() as progress:
        document = demonstrate(out, force=force, threads=threads, isa=isa, progress=progress)
    if json:
        print_json(document)
    else:
        _print(document)


def _print(document: Demonstration) -> None:
    low_bit = f"{document['average_bits']:.1f} bits"
    for sentence in document["sentences"]:
        same = "the same" if sentence["low_bit"] == sentence["float32"] else sentence["low_bit"]
        print_pairs({"English": sentence["source"], "float32": sentence["float32"], low_bit: same})
        print()
    speeds = document["tokens_per_second"]
    print_pairs(
        {
            "choice": document["choice"],
            "size": f"{document['compression']:.1f} times smaller than float32, {document['average_bits']:.2f} bits "
            "per weight with everything counted",
            "speed": f"{speeds['float32']:,.0f} tokens per second in float32, {speeds['low_bit']:,.0f} compressed",
            "agreement": f"chrF {document['agreement_chrf']:.1f} between the two (100: every translation is the same)",
            "memory": f"{document['peak_rss_bytes'] / 1e6:.0f} MB at most, both models open",
            "models": f"{document['float_model']}\n           {document['low_bit_model']}",
        }
    )
    print(f"\ntry: echo 'How are you?' | subbyte translate {document['low_bit_model']}")
