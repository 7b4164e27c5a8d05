"""The loop: weights, their rounding, the loss, and steps of the optimizer. What comes of it is a `Model`.

One step is the same for all methods; they differ in what the products use and in what is kept after a step:

straight_through  products use Q(W), the step moves W. W starts as the float32 weights.
error_feedback    the same, W starts as Q(W). Aji & Heafield write it as a quantized weight and a residual R = W - Q(W)
                  that is added to the next step; that is this, step for step (tests/training/translation).
periodic          products use W, and every `period` steps W becomes Q(W).
blockwise         as straight_through, but a layer after the other: blockwise.py.
scales            products use Q(W) times factors of its scales; the step moves these, and codes stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from subbyte.compress.rounding import in_few_bytes
from subbyte.errors import RecipeError
from subbyte.folders.converted.saving import weights_size
from subbyte.models.families import translation_of
from subbyte.models.model import Model
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered, Scheme
from subbyte.training.coded import Price
from subbyte.training.layers import dropout_share
from subbyte.training.loop import Trained, falling
from subbyte.training.matrices import Matrices, used
from subbyte.training.rounding import Rounder
from subbyte.training.translation.batches import FILL, Batch, Pair, endless, to_tensors
from subbyte.training.translation.network import Dropout, Network
from subbyte.training.translation.settings import Finetuning

BETAS = (0.9, 0.98)
EPSILON = 1e-9
SHADOWED = ("straight_through", "error_feedback", "blockwise")  # methods that keep weights behind the rounded ones
WORDS = ("embedding", "output")  # roles that the first phase rounds
PHASES: tuple[tuple[str, ...], ...] = ((), ("decoder",), ("decoder", "encoder"))  # stacks that each rounds besides


class Weights(nn.Module):
    """The tensors of a model as parameters, by their names; `forward` is the loss of a batch."""

    def __init__(self, model: Model, network: Network, teacher: Network | None, settings: Finetuning) -> None:
        super().__init__()
        self.network, self.teacher, self.settings = network, teacher, settings
        self.names = list(model.tensors)
        self.values = nn.ParameterList(torch.from_numpy(np.array(model.tensors[name])) for name in self.names)
        self.factors = nn.ModuleList()  # of the scales of each matrix, where these are trained
        self.scaled: dict[str, tuple[Rounder, nn.ParameterList]] = {}
        self.steps = nn.ParameterList()  # logarithms of those of `learned`
        self.learned: Mapping[str, Rounder] = {}
        self.original = {name: value.detach().clone() for name, value in self.named()} if teacher else {}

    def train_scales(self, rounders: Mapping[str, Rounder]) -> None:
        """From now on matrices stand as they are, and factors of their scales are trained in their place."""
        for name, value in self.named():
            if name in rounders:
                value.requires_grad_(False)
                factors = nn.ParameterList(rounders[name].ones())
                self.factors.append(factors)
                self.scaled[name] = (rounders[name], factors)

    def train_steps(self, matrices: Matrices) -> None:
        """From now on the steps of matrices that are entropy coded are trained."""
        self.steps.extend(matrices.learn_steps())
        self.learned = matrices.learned

    def named(self) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters."""
        return list(zip(self.names, self.values, strict=True))

    def forward(self, batch: Batch, rounded: Mapping[str, Tensor]) -> Tensor:
        """Nats per token of the batch; the matrices in `rounded` are used as they stand there."""
        weights = used(self.named(), rounded, self.learned)
        for name, (rounder, factors) in self.scaled.items():
            weights[name] = rounder.scaled(weights[name], list(factors))
        wanted = batch.labels != FILL
        logits = self.network.logits(weights, batch.source, batch.inputs, wanted).float()
        weight, loss = self.settings.distillation, torch.zeros(())
        if weight < 1:
            smoothing = self.settings.label_smoothing
            loss = (1 - weight) * F.cross_entropy(logits, batch.labels[wanted], label_smoothing=smoothing)
        if self.teacher:
            with torch.no_grad():
                taught = self.teacher.logits(self.original, batch.source, batch.inputs, wanted).float().softmax(-1)
            loss = loss + weight * F.cross_entropy(logits, taught)
        return loss


class Trainer(Trained):
    """A translation model while it is finetuned."""

    weights: Weights

    def __init__(
        self,
        model: Model,
        schemes: Mapping[str, Scheme | Clustered],
        pairs: Sequence[Pair],
        settings: Finetuning,
        *,
        clusters: Mapping[str, np.ndarray] | None = None,
        rounded: Model | None = None,
        activations: str = "int8",
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        """The model before the first update.

        schemes    of the matrices that are rounded; {} finetunes the float32 model
        clusters   name -> uint8 [rows], the cluster of each row, for clustered schemes
        rounded    the model under `schemes` that training starts from; default: `model`, rounded to the nearest
        precision  of products: float32 or bf16
        """
        torch.manual_seed(seed)
        self.source, self.settings, self.pairs, self.seed = model, settings, pairs, seed
        self.shape = translation_of(model.config)
        exact = Network(self.shape, dict(model.aliases), round_inputs=False)
        dropout = _dropout(model.config) if settings.dropout else Dropout()
        network = replace(exact, round_inputs=bool(schemes) and activations == "int8", dropout=dropout)
        teacher = exact if settings.distillation > 0 or settings.method == "blockwise" else None
        self.weights = Weights(model, network, teacher, settings)
        self.parameters = dict(self.weights.named())
        self.matrices = Matrices(self.parameters, schemes, settings.refit, clusters)
        self.update = 0
        self.precision = precision  # not accelerate's, which is one for all that a process ever trains
        self.accelerator = Accelerator(cpu=True)
        self._start(rounded)
        if self.matrices.learned:
            size = weights_size(self.model(), packed=True)
            self.price = Price(self.matrices.learned, model.parameters, settings.bits, settings.updates, size)
            self.matrices.hold(self.price)
        steps = set(self.weights.steps)
        self._others = [one for one in self.weights.parameters() if one.requires_grad and one not in steps]
        groups: list[dict[str, Any]] = [
            {"params": self._others, "most": settings.learning_rate},
            {"params": [*self.weights.steps], "most": settings.step_learning_rate},
        ]
        optimizer = torch.optim.Adam([g for g in groups if g["params"]], lr=0.0, betas=BETAS, eps=EPSILON)
        self.loss, self.optimizer = self.accelerator.prepare(self.weights, optimizer)
        self._batches = self._batches_from(0)

    def step(self) -> float:
        batch = to_tensors(next(self._batches), self.shape.decoder_start)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(group["most"])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self._loss_of(batch)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self._others, self.settings.clip_norm)
        self.matrices.add_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.update += 1
        self._after_step()
        return float(loss.detach())

    def _rate(self, most: float) -> float:
        """The rate of this update."""
        return falling(most, self.update, self.settings.warmup, self.settings.updates)

    def _loss_of(self, batch: Batch) -> Tensor:
        return torch.as_tensor(self.loss(batch, self.matrices.rounded))

    @property
    def whole(self) -> bool:
        """Whether the weights are now what `model` gives: between overwritings they are not."""
        return self.settings.method != "periodic" or not self.matrices.rounders or self._overwrites()

    @property
    def complete(self) -> bool:
        """Whether every matrix is rounded by now, which before the last phase they are not, and the budget is met."""
        return len(self._active) == len(self.matrices.rounders) and super().complete

    def model(self) -> Model:
        active = set(self._active)
        with torch.no_grad():
            tensors = {
                name: self._packed(name, value) if name in active else value.numpy().copy()
                for name, value in self.weights.named()
            }
        return in_few_bytes(replace(self.source, tensors=tensors))

    def _packed(self, name: str, value: Tensor) -> PackedMatrix:
        _, factors = self.weights.scaled.get(name, (None, None))
        return self.matrices.rounders[name].pack(value, list(factors) if factors else None)

    def _resume(self) -> None:
        self._batches = self._batches_from(self.update)
        if self.settings.method in SHADOWED:
            self.matrices.round(self._active)

    def _batches_from(self, update: int) -> Any:
        """Every process takes its own of them, one behind the other."""
        processes, mine = self.accelerator.num_processes, self.accelerator.process_index
        batches = endless(self.pairs, self.settings.batch_tokens, self.seed, skip=update * processes)
        return (batch for i, batch in enumerate(batches) if i % processes == mine)

    @torch.no_grad()
    def _start(self, rounded: Model | None) -> None:
        names, method = self._active, self.settings.method
        tensors = rounded.tensors if rounded else {}
        if method in SHADOWED:
            self.weights.train_steps(self.matrices)
        if self.settings.phases and self.matrices.learned:
            raise RecipeError("[finetune]: phases do not go with entropy_coded matrices, which share one budget")
        self.matrices.start(names, tensors)
        for name, value in tensors.items():
            if isinstance(value, np.ndarray) and name not in self.matrices.rounders:
                self.parameters[name].copy_(torch.from_numpy(value.copy()))
        if method in ("error_feedback", "scales"):
            self.matrices.overwrite(names)
        if method in SHADOWED:
            self.matrices.round(names)
        if method == "scales":
            self.weights.train_scales(self.matrices.rounders)

    def _after_step(self) -> None:
        names, method = self._active, self.settings.method
        if method == "periodic" and self._overwrites():
            self.matrices.fit(names, self.update, follow=True)
            self.matrices.overwrite(names)
        if method not in SHADOWED:
            return
        joining = [name for name in names if name not in self.matrices.rounded]
        self.matrices.fit(names, self.update, rate=self.optimizer.param_groups[0]["lr"])
        if method == "error_feedback":  # what joins starts from its rounded values, too
            self.matrices.overwrite(joining)
        self.matrices.round(names)

    @property
    def _active(self) -> list[str]:
        """The matrices that are rounded by now."""
        if not self.settings.phases or self.settings.method == "scales":
            return list(self.matrices.rounders)
        stacks = PHASES[min(len(PHASES) - 1, max(0, self.update - 1) * len(PHASES) // self.settings.updates)]
        roles = self.source.roles
        return [name for name in self.matrices.rounders if roles[name].kind in WORDS or roles[name].stack in stacks]

    def _overwrites(self) -> bool:
        """Whether weights are overwritten after this update: at every period, and at the end of a phase."""
        s = self.settings
        ends = [-(-s.updates * (i + 1) // len(PHASES)) for i in range(len(PHASES))] if s.phases else [s.updates]
        return self.update % s.period == 0 or self.update in ends


def _dropout(config: Mapping[str, Any]) -> Dropout:
    """As transformers' Marian has it."""
    given = {name: share for name, share in config.items() if share is not None}
    return Dropout(
        *(dropout_share(given, name, 0.0) for name in ("dropout", "attention_dropout", "activation_dropout"))
    )
