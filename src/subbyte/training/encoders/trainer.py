"""The loop for encoders: weights and ranges, their rounding, the losses, and steps of the optimizer.

Products use rounded weights, whose gradients move the weights behind them (straight through, as in trainer.py); scales
of weights follow by least squares, and are fitted anew now and then. Activations are rounded to grids that are trained
too (activation_rounding.py), or per token where there is none. What comes of it is a `Model`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from subbyte.compress.rounding import in_few_bytes
from subbyte.folders.converted.saving import weights_size
from subbyte.models.encoder import WORDS
from subbyte.models.families import encoder_of
from subbyte.models.model import Float, Model, activations_of
from subbyte.numbers.granularity import PerTensor
from subbyte.numbers.grids import Grid
from subbyte.numbers.matrices import quantize_matrix
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.training.coded import Price
from subbyte.training.encoders.activation_rounding import Quantizer
from subbyte.training.encoders.batches import Batch, Example, endless, to_tensors
from subbyte.training.encoders.distillation import attention_loss, soft_label_loss, state_loss, value_loss
from subbyte.training.encoders.network import Dropout, EncoderNetwork, Result, product_inputs
from subbyte.training.encoders.settings import EncoderFinetuning
from subbyte.training.encoders.word_rows import WordRows
from subbyte.training.layers import dropout_share, rounded_per_token
from subbyte.training.loop import Trained, falling
from subbyte.training.matrices import Matrices, used

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class EncoderTrainer(Trained):
    """An encoder while it is finetuned."""

    def __init__(
        self,
        model: Model,
        schemes: Mapping[str, Scheme | Clustered],
        examples: Sequence[Example],
        settings: EncoderFinetuning,
        *,
        rounded: Mapping[str, PackedMatrix | np.ndarray] | None = None,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        """The model before the first update.

        model    a float32 classifier. its grids are as they are at first. It is the teacher, too
        schemes  of the matrices that are rounded; {} rounds none: with no grids that is ordinary finetuning
        rounded  tensors that training starts from: matrices under their schemes, whose codes and scales are kept, and
                 others as they are; default: those of `model`, rounded to the nearest
        precision  of products: float32 or bf16
        """
        torch.manual_seed(seed)
        self.source, self.settings, self.examples = model, settings, examples
        self.seed, self.precision = seed, precision
        self.shape = encoder_of(model.config)
        grids = model.activations.grids
        exact = EncoderNetwork(self.shape, rotations={point: grid.rotation for point, grid in grids.items()})
        rounds = not isinstance(model.activations, Float)
        self.dynamic = frozenset(product_inputs(self.shape)) - grids.keys() if rounds else frozenset()
        self.network = replace(exact, dropout=_dropout(model.config) if settings.dropout else Dropout())
        self.teacher = exact if settings.distils or settings.method == "blockwise" else None
        self.words = _words(schemes.get(WORDS), examples, self.shape.vocab_size)
        trained = {WORDS: self.words.rows} if self.words else {}
        self.parameters: dict[str, nn.Parameter] = {
            name: nn.Parameter(torch.from_numpy(np.array(array[trained.get(name, slice(None))])))
            for name, array in model.tensors.items()
            if isinstance(array, np.ndarray)
        }
        kept = self.parameters if self.teacher else {}
        self.original = {name: value.detach().clone() for name, value in kept.items()}
        self.matrices = Matrices(self.parameters, schemes, settings.refit)
        self.steps = self.matrices.learn_steps()
        self._packed_words: PackedMatrix | None = None
        tensors = dict(rounded or {})
        if self.words and isinstance(words := tensors.pop(WORDS, None), PackedMatrix):
            self._packed_words = words
        self.matrices.start(schemes, tensors)
        for name, array in tensors.items():
            if isinstance(array, np.ndarray) and array.shape == self.parameters[name].shape:
                self.parameters[name].data = torch.from_numpy(array.copy())
        self.matrices.round(schemes)
        self.quantizers = {point: Quantizer(grid, settings.gradient, settings.blend) for point, grid in grids.items()}
        self.weights = nn.ModuleList(
            [nn.ParameterList(self.parameters.values()), *self.quantizers.values(), nn.ParameterList(self.steps)]
        )
        if self.matrices.learned:
            size = weights_size(self.model(), packed=True)
            self.price = Price(self.matrices.learned, model.parameters, settings.bits, settings.updates, size)
            self.matrices.hold(self.price)
        self.update = 0
        self.optimizer = self._optimizer()
        self._batches = endless(examples, settings.batch_size, seed)

    def step(self) -> float:
        batch = to_tensors(next(self._batches))
        if self.words:
            batch = batch._replace(tokens=batch.tokens._replace(ids=self.words.numbered(batch.tokens.ids)))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self._loss(batch)
        loss.backward()
        for quantizer in self.quantizers.values():
            quantizer.settle()
        nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip_norm)
        self.matrices.add_gradients()
        share = self._share()
        for group in self.optimizer.param_groups:
            group["lr"] = group["most"] * share
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.update += 1
        self._after_step()
        return float(loss.detach())

    def _share(self) -> float:
        """Of the highest rates, those of this update."""
        updates = self.settings.updates
        return falling(1.0, self.update, round(self.settings.warmup * updates), updates)

    def _after_step(self) -> None:
        self.matrices.fit(self.matrices.rounders, self.update, rate=self.optimizer.param_groups[0]["lr"])
        self.matrices.round(self.matrices.rounders)

    def grids(self) -> dict[str, Grid]:
        """The grids of activations as they stand."""
        return {point: quantizer.grid() for point, quantizer in self.quantizers.items()}

    def model(self) -> Model:
        with torch.no_grad():
            tensors = {name: self._stored(name, value) for name, value in self.parameters.items()}
        activations = activations_of(self.source.activations.word, self.grids())
        return in_few_bytes(replace(self.source, tensors=tensors, activations=activations))

    def _resume(self) -> None:
        self._batches = endless(self.examples, self.settings.batch_size, self.seed, skip=self.update)
        self.matrices.round(self.matrices.rounders)

    def _loss(self, batch: Batch) -> Tensor:
        weights = used(self.parameters.items(), self.matrices.rounded, self.matrices.learned)
        result = self.network.run(weights, batch.tokens, self._at, self._read)
        s, logits, loss = self.settings, _logits(result), torch.zeros(())
        if s.label_loss > 0 and self.shape.regression:
            loss = loss + s.label_loss * F.mse_loss(logits[:, 0], batch.labels)
        elif s.label_loss > 0:
            loss = loss + s.label_loss * F.cross_entropy(logits, batch.labels.long())
        if not self.teacher:
            return loss
        with torch.no_grad():
            taught = self.teacher.run(self.original, batch.tokens)
        ours, theirs = result.heads[s.relation_layer], taught.heads[s.relation_layer]
        if s.output_distillation > 0 and self.shape.regression:
            loss = loss + s.output_distillation * F.mse_loss(logits, _logits(taught))
        elif s.output_distillation > 0:
            loss = loss + s.output_distillation * soft_label_loss(logits, _logits(taught), s.temperature)
        if s.state_distillation > 0:
            loss = loss + s.state_distillation * state_loss(result.outputs, taught.outputs)
        if s.attention_distillation > 0:
            loss = loss + s.attention_distillation * attention_loss(ours, theirs, batch.tokens.seen)
        if s.value_distillation > 0:
            loss = loss + s.value_distillation * value_loss(ours, theirs, batch.tokens.seen)
        return loss

    def _at(self, point: str, x: Tensor) -> Tensor:
        """What comes of the values of a point for all that reads them."""
        quantizer = self.quantizers.get(point)
        return quantizer(x) if quantizer and not quantizer.operand else x

    def _read(self, point: str, x: Tensor) -> Tensor:
        """What comes of them for matrices: where there is no grid, int8 with a scale a token, as in the engine."""
        if point in self.dynamic:
            return rounded_per_token(x)
        quantizer = self.quantizers.get(point)
        return quantizer(x) if quantizer and quantizer.operand else x

    def _optimizer(self) -> torch.optim.Optimizer:
        s = self.settings
        matrices = [value for value in self.parameters.values() if value.ndim == 2]
        vectors = [value for value in self.parameters.values() if value.ndim == 1]
        ranges = [p for quantizer in self.quantizers.values() for p in quantizer.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "most": s.learning_rate, "weight_decay": s.weight_decay},
            {"params": vectors, "most": s.learning_rate, "weight_decay": 0.0},
            {"params": ranges, "most": s.scale_rate, "weight_decay": 0.0},
            {"params": self.steps, "most": s.step_learning_rate, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=BETAS, eps=EPSILON, fused=True)

    def _stored(self, name: str, value: Tensor) -> np.ndarray | PackedMatrix:
        """A tensor whole, as it is stored."""
        packed = self.matrices.rounders[name].pack(value) if name in self.matrices.rounders else None
        if not self.words or name != WORDS:
            return packed or value.numpy().copy()
        whole = self.source.tensors[WORDS]
        assert isinstance(whole, np.ndarray)
        if packed is None:
            whole = whole.copy()
            whole[self.words.rows] = value.numpy()
            return whole
        if self._packed_words is None:
            self._packed_words = quantize_matrix(whole, self.matrices.rounders[name].scheme)
        return self.words.merged(self._packed_words, packed)


def _words(scheme: Scheme | Clustered | None, examples: Sequence[Example], count: int) -> WordRows | None:
    """The words that are trained; None where rows cannot be rounded one by one, then all are."""
    if scheme is not None and (isinstance(scheme, Clustered) or scheme.granularity == PerTensor()):
        return None
    return WordRows((example.ids for example in examples), count)


def _logits(result: Result) -> Tensor:
    assert result.logits is not None  # a bare encoder is refused before
    return result.logits.float()


def _dropout(config: Mapping[str, Any]) -> Dropout:
    """As transformers has it, where a text is classified."""
    distilled = config.get("model_type") == "distilbert"
    outputs = dropout_share(config, "dropout" if distilled else "hidden_dropout_prob", 0.1)
    attention = dropout_share(config, "attention_dropout" if distilled else "attention_probs_dropout_prob", 0.1)
    name = "seq_classif_dropout" if distilled else "classifier_dropout"
    classifier = config.get(name) or (0.2 if distilled else outputs)
    return Dropout(outputs, attention, dropout_share({name: classifier}, name, 0.0))
