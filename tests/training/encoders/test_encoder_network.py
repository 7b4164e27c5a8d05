"""The forward pass of encoders in torch against transformers, and where its activation points are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from builders.tiny_encoder import KINDS, tiny_encoder_folder  # noqa: E402
from subbyte.folders.opening import open_model  # noqa: E402
from subbyte.models import encoder  # noqa: E402
from subbyte.models.families import encoder_of  # noqa: E402
from subbyte.training.encoders.network import EncoderNetwork, Tokens, product_inputs  # noqa: E402
from subbyte.training.layers import rounded_per_token  # noqa: E402


def opened(folder: Path) -> tuple[encoder.Settings, dict[str, Any]]:
    model = open_model(folder)
    return encoder_of(model.config), {name: torch.from_numpy(t) for name, t in model.tensors.items()}


def sentences(words: int, lengths: tuple[int, ...] = (5, 9, 1, 7), types: int = 1) -> Tokens:
    """Sentences of these lengths, filled up at their ends."""
    generator = torch.Generator().manual_seed(1)
    shape = len(lengths), max(lengths)
    seen = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    ids = torch.randint(3, words, shape, generator=generator)
    return Tokens(ids.masked_fill(~seen, 1), torch.randint(0, types, shape, generator=generator), seen)


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder_folder(tmp_path_factory.mktemp("encoder") / "model", request.param)


def test_states_and_logits_are_those_of_transformers(folder: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    shape, weights = opened(folder)
    kind = "AutoModelForSequenceClassification" if shape.labels else "AutoModel"
    model = getattr(transformers, kind).from_pretrained(folder).eval()
    tokens = sentences(shape.vocab_size, types=max(1, shape.types))
    given = {"input_ids": tokens.ids, "attention_mask": tokens.seen.long(), "output_hidden_states": True}
    if shape.types:
        given["token_type_ids"] = tokens.types
    with torch.no_grad():
        theirs = model(**given)
        ours = EncoderNetwork(shape).run(weights, tokens)
    torch.testing.assert_close(ours.states, theirs.hidden_states[-1][tokens.seen], atol=1e-5, rtol=0)
    assert (ours.logits is None) == (shape.labels == 0)
    if ours.logits is not None:
        torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=0)


def test_a_sentence_is_the_same_alone_and_in_a_filled_batch(folder: Path) -> None:
    shape, weights = opened(folder)
    network, tokens = EncoderNetwork(shape), sentences(shape.vocab_size)
    together = network.run(weights, tokens).states.split(tokens.seen.sum(1).tolist())
    for i, length in enumerate(tokens.seen.sum(1).tolist()):
        alone = network.run(weights, Tokens(*(part[i : i + 1, :length] for part in tokens))).states
        torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=0)


def test_points_are_those_of_the_contract_in_their_order_with_nothing_at_filling(folder: Path) -> None:
    shape, weights = opened(folder)
    tokens, found = sentences(shape.vocab_size), {}

    def at(point: str, x: Any) -> Any:
        found[point] = x
        return x

    network = EncoderNetwork(shape)
    result = network.run(weights, tokens, at)
    points = shape.points()
    assert list(found) == list(points)
    sentences_, positions = tokens.seen.shape
    both = tokens.seen[:, None, :, None] & tokens.seen[:, None, None, :]
    for point, of in points.items():
        x = found[point]
        if of.width == 1 and "layers" in point:
            assert x.shape == (sentences_, shape.heads, positions, positions)
            assert (x.masked_select(~both) == 0).all() and (x.masked_select(both) != 0).all()
        else:
            rows = sentences_ if point in ("pooler", "classifier") else int(tokens.seen.sum())
            assert x.shape == (rows, of.width)
        assert x.dtype == torch.float32
    heads = result.heads[0]
    torch.testing.assert_close(found["layers.0.scores"], heads.query @ heads.key.transpose(-1, -2))  # not divided yet
    torch.testing.assert_close(found["layers.0.probabilities"].sum(-1).sum(), torch.tensor(22.0 * shape.heads))
    if shape.labels:
        assert found["classifier"] is result.logits


@pytest.mark.parametrize("point", ["embeddings.words", "layers.1.scores", "layers.0.probabilities", "layers.1.ffn_sum"])
def test_what_a_point_gives_back_is_what_is_used(point: str, tmp_path: Path) -> None:
    shape, weights = opened(tiny_encoder_folder(tmp_path / "model", "bert, classifier"))
    tokens, network = sentences(shape.vocab_size), EncoderNetwork(shape)
    changed = network.run(weights, tokens, lambda name, x: x.clamp(max=0.05) if name == point else x)
    assert not torch.allclose(changed.states, network.run(weights, tokens).states, atol=1e-4)


def test_what_matrices_read_may_be_rounded_there_alone(tmp_path: Path) -> None:
    shape, weights = opened(tiny_encoder_folder(tmp_path / "model", "bert, classifier"))
    tokens = sentences(shape.vocab_size)
    exact = EncoderNetwork(shape).run(weights, tokens).logits
    inputs = product_inputs(shape)
    assert len(inputs) == len(set(inputs)) == 1 + 4 * shape.layers + 1
    seen = set()
    for point in inputs:

        def read(name: str, x: torch.Tensor, point: str = point) -> torch.Tensor:
            return rounded_per_token(x) if name == point else x

        logits = EncoderNetwork(shape).run(weights, tokens, read=read).logits
        error = float((logits - exact).abs().max())
        assert 0 < error < 0.1, point
        seen.add(error)
    assert len(seen) == len(inputs)


@pytest.mark.parametrize("kind, count", [("bert", 1 + 4 * 2 - 1), ("distilbert, classifier", 1 + 4 * 2 + 1)])
def test_product_inputs_of_a_bare_encoder_leave_out_the_last_output(kind: str, count: int, tmp_path: Path) -> None:
    shape, _ = opened(tiny_encoder_folder(tmp_path / "model", kind))
    assert len(product_inputs(shape)) == count
