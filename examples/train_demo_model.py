"""Train the small English-German MarianMT model that `subbyte demo` compresses and runs.

    python examples/train_demo_model.py DATA WORK OUT --minutes 70

DATA holds the Tatoeba pairs: `train.en.txt.gz`, `train.de.txt.gz`, `dev.en.txt.gz`, `dev.de.txt.gz`. WORK receives the
vocabulary and the checkpoint; a second call with the same WORK goes on where the first one stopped. OUT receives a
Hugging Face folder: float16 weights, the tied embedding once, and a card with the BLEU on dev. Needs torch,
transformers, sentencepiece, sacrebleu and tqdm.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sacrebleu
import sentencepiece
import torch
import transformers
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

EOS, UNK = 0, 1  # as in opus-mt: </s> first, <unk> second, <pad> last
MAX_PIECES = 100  # longer sentences are left out of training; the model itself takes 128 positions
PROGRESS_SECONDS = 1.0 if sys.stderr.isatty() else 30.0  # a log file gets few lines

Pair = tuple[list[int], list[int]]  # source and target ids, both ending in </s>


@dataclass(frozen=True)
class Settings:
    """What decides the result, together with the data and the speed of the machine."""

    minutes: float
    threads: int
    vocabulary: int
    batch_tokens: int
    peak_rate: float
    warmup: int
    cooldown: float  # the last part of the time, in which the rate falls to zero
    dropout: float
    label_smoothing: float
    average_decay: float
    checkpoint_seconds: float
    bfloat16: bool
    seed: int


# --- data ------------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def train_vocabulary(data: Path, work: Path, size: int) -> None:
    """Write `source.spm`, its copy `target.spm` and `vocab.json`: one unigram vocabulary for both languages."""
    if (work / "vocab.json").exists():
        return
    sentences = [line for language in ("en", "de") for line in read_lines(data / f"train.{language}.txt.gz")]
    with (work / "source.spm.partial").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type="unigram",
            vocab_size=size,
            character_coverage=1.0,
            num_threads=1,
            minloglevel=2,
        )
    os.replace(work / "source.spm.partial", work / "source.spm")
    shutil.copyfile(work / "source.spm", work / "target.spm")
    spm = sentencepiece.SentencePieceProcessor(model_file=str(work / "source.spm"))
    pieces = [spm.id_to_piece(i) for i in range(len(spm)) if not (spm.is_control(i) or spm.is_unknown(i))]
    ids = {piece: i for i, piece in enumerate(["</s>", "<unk>", *pieces, "<pad>"])}
    write_text(work / "vocab.json", json.dumps(ids, ensure_ascii=False))


def read_pairs(data: Path, split: str, work: Path) -> list[Pair]:
    """The sentence pairs of a split as ids, without those that are too long."""
    spm = sentencepiece.SentencePieceProcessor(model_file=str(work / "source.spm"))
    ids = json.loads((work / "vocab.json").read_text(encoding="utf-8"))

    def encode(language: str) -> list[list[int]]:
        lines = spm.encode(read_lines(data / f"{split}.{language}.txt.gz"), out_type=str)
        return [[ids.get(piece, UNK) for piece in line] + [EOS] for line in lines]

    return [pair for pair in zip(encode("en"), encode("de"), strict=True) if max(map(len, pair)) <= MAX_PIECES]


def batches(pairs: list[Pair], tokens: int, seed: int) -> list[list[Pair]]:
    """All pairs once, in batches of nearly equal lengths with at most `tokens` padded target (and source) tokens."""
    rng = random.Random(seed)
    shuffled = rng.sample(pairs, len(pairs))
    shuffled.sort(key=lambda pair: (len(pair[1]), len(pair[0])))
    result: list[list[Pair]] = [[]]
    longest = 0
    for pair in shuffled:
        longest = max(longest, len(pair[0]), len(pair[1]))
        if result[-1] and longest * (len(result[-1]) + 1) > tokens:
            result.append([])
            longest = max(len(pair[0]), len(pair[1]))
        result[-1].append(pair)
    rng.shuffle(result)
    return result


# --- model and loss --------------------------------------------------------------------------------------------------


def float32_attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """Attention outside autocast: the backward pass of torch's bfloat16 CPU attention would take half of the time."""
    with torch.autocast("cpu", enabled=False):
        return sdpa_attention_forward(module, query.float(), key.float(), value.float(), *rest, **options)


AttentionInterface.register("float32_attention", float32_attention)
AttentionMaskInterface.register("float32_attention", sdpa_mask)


def new_model(settings: Settings) -> MarianMTModel:
    width, pad = 128, settings.vocabulary - 1
    config = MarianConfig(
        vocab_size=settings.vocabulary,
        decoder_vocab_size=settings.vocabulary,
        d_model=width,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=512,
        decoder_ffn_dim=512,
        activation_function="relu",
        max_position_embeddings=128,
        dropout=settings.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        init_std=width**-0.5,
        scale_embedding=True,
        static_position_embeddings=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=EOS,
        forced_eos_token_id=EOS,
        pad_token_id=pad,
        decoder_start_token_id=pad,
    )
    model = MarianMTModel(config)
    model.set_attn_implementation("float32_attention")
    return model


def batch_loss(
    model: MarianMTModel, batch: list[Pair], label_smoothing: float, bfloat16: bool
) -> tuple[torch.Tensor, int]:
    """Cross-entropy per target token, and the number of target tokens; only real tokens reach the output layer."""
    pad = model.config.pad_token_id
    source = pad_sequence([torch.tensor(pair[0]) for pair in batch], batch_first=True, padding_value=pad)
    target = pad_sequence([torch.tensor(pair[1]) for pair in batch], batch_first=True, padding_value=pad)
    shifted = torch.cat([torch.full((len(batch), 1), pad), target[:, :-1]], dim=1)
    real = target != pad
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        hidden = model.model(
            input_ids=source, attention_mask=(source != pad).long(), decoder_input_ids=shifted, use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden[real])
    return cross_entropy(logits.float(), target[real], label_smoothing=label_smoothing), int(real.sum())


def validation_loss(model: MarianMTModel, pairs: list[Pair], settings: Settings) -> float:
    """Nats per target token, without label smoothing or dropout."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches(pairs, settings.batch_tokens, seed=0):
            loss, tokens = batch_loss(model, batch, 0.0, bfloat16=False)
            total, count = total + loss.item() * tokens, count + tokens
    return total / count


# --- training --------------------------------------------------------------------------------------------------------


@dataclass
class State:
    """Everything that a checkpoint holds."""

    model: MarianMTModel
    average: MarianMTModel  # exponential moving average of the weights; this one is exported
    optimizer: torch.optim.Optimizer
    update: int = 0
    epoch: int = 0
    batch: int = 0  # batches already done in this epoch
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        numbers = {"update": self.update, "epoch": self.epoch, "batch": self.batch, "seconds": self.seconds}
        tensors = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        partial = path.with_suffix(".partial")
        torch.save({**tensors, "numbers": numbers, "generator": torch.get_rng_state()}, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True)
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(saved[name])
        for name, number in saved["numbers"].items():
            setattr(self, name, number)
        torch.set_rng_state(saved["generator"])


def new_state(settings: Settings) -> State:
    torch.manual_seed(settings.seed)
    model, average = new_model(settings), new_model(settings)
    average.load_state_dict(model.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
    return State(model, average, optimizer)


def learning_rate(update: int, progress: float, settings: Settings) -> float:
    """Linear warm-up, then inverse square root; falls to zero over the last part of the time."""
    rise_and_fall = min(update / settings.warmup, math.sqrt(settings.warmup / update))
    return settings.peak_rate * rise_and_fall * min(1.0, max(0.0, 1.0 - progress) / settings.cooldown)


def endless_batches(pairs: list[Pair], state: State, settings: Settings) -> Iterator[list[Pair]]:
    """Batches of epoch after epoch, from where the state is; the state counts along."""
    while True:
        epoch = batches(pairs, settings.batch_tokens, settings.seed + state.epoch)
        while state.batch < len(epoch):
            state.batch += 1
            yield epoch[state.batch - 1]
        state.epoch, state.batch = state.epoch + 1, 0


def train(state: State, pairs: list[Pair], valid: list[Pair], checkpoint: Path, settings: Settings) -> None:
    """Train until the time is over; time spent before a restart counts."""
    budget = settings.minutes * 60
    parameters: list[torch.Tensor] = list(state.model.parameters())
    averages: list[torch.Tensor] = list(state.average.parameters())
    stream = endless_batches(pairs, state, settings)
    before, started, saved = state.seconds, time.monotonic(), state.seconds
    with tqdm(total=round(budget), initial=round(before), unit="s", mininterval=PROGRESS_SECONDS) as bar:
        while state.seconds < budget:
            state.update += 1
            rate = learning_rate(state.update, state.seconds / budget, settings)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            state.model.train()
            loss, _ = batch_loss(state.model, next(stream), settings.label_smoothing, settings.bfloat16)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            state.optimizer.step()
            state.optimizer.zero_grad()
            decay = min(settings.average_decay, state.update / (state.update + 10))
            with torch.no_grad():
                torch._foreach_lerp_(averages, parameters, 1 - decay)
            state.seconds = before + time.monotonic() - started
            bar.set_postfix_str(f"update {state.update}, epoch {state.epoch}, loss {loss.item():.3f}", refresh=False)
            bar.update(round(state.seconds) - bar.n)
            if state.seconds - saved >= settings.checkpoint_seconds or state.seconds >= budget:
                saved = state.seconds
                state.save(checkpoint)
                bar.write(
                    f"update {state.update}, epoch {state.epoch}, rate {rate:.2e}: "
                    f"validation loss {validation_loss(state.average, valid, settings):.4f}",
                    file=sys.stderr,
                )


# --- evaluation and export -------------------------------------------------------------------------------------------


def translate(folder: Path, sentences: list[str], num_beams: int) -> list[str]:
    """Translate with the exported folder, as transformers does it."""
    tokenizer = MarianTokenizer.from_pretrained(folder)
    model = MarianMTModel.from_pretrained(folder, dtype=torch.float32).eval()
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    result = [""] * len(sentences)
    for start in tqdm(range(0, len(order), 64), unit="batch", mininterval=PROGRESS_SECONDS):
        chosen = order[start : start + 64]
        inputs = tokenizer([sentences[i] for i in chosen], return_tensors="pt", padding=True)
        with torch.no_grad():
            outputs = model.generate(**inputs, num_beams=num_beams)
        for i, text in zip(chosen, tokenizer.batch_decode(outputs, skip_special_tokens=True), strict=True):
            result[i] = text
    return result


def write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def export(model: MarianMTModel, work: Path, out: Path) -> None:
    """Write the Hugging Face folder, without its README."""
    out.mkdir(parents=True, exist_ok=True)
    config = model.config
    config.architectures = ["MarianMTModel"]
    config.dtype = "float32"  # what to compute in; the file holds float16
    config.save_pretrained(out)
    GenerationConfig(
        num_beams=4,
        max_length=config.max_position_embeddings,
        length_penalty=1.0,
        early_stopping=False,
        bad_words_ids=[[config.pad_token_id]],
        decoder_start_token_id=config.decoder_start_token_id,
        eos_token_id=EOS,
        forced_eos_token_id=EOS,
        pad_token_id=config.pad_token_id,
    ).save_pretrained(out)
    tokenizer = {
        "source_lang": "en",
        "target_lang": "de",
        "tokenizer_class": "MarianTokenizer",
        "model_max_length": config.max_position_embeddings,
    }
    write_text(out / "tokenizer_config.json", json.dumps(tokenizer, indent=2) + "\n")
    for name in ("source.spm", "target.spm", "vocab.json"):
        shutil.copyfile(work / name, out / name)
    tied_or_constant = ("embed_tokens.weight", "embed_positions.weight", "lm_head.weight")
    tensors = {
        name: tensor.to(torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if not name.endswith(tied_or_constant)
    }
    save_file(tensors, out / "model.safetensors.partial", metadata={"format": "pt"})
    (out / "model.safetensors.partial").chmod(0o644)  # save_file makes it private
    os.replace(out / "model.safetensors.partial", out / "model.safetensors")


CARD = """---
language: [en, de]
pipeline_tag: translation
datasets: [tatoeba]
---
# A small English-German translator

The model of `subbyte demo`: a MarianMT model with {parameters:,} parameters, made to be compressed, not to be
relied on. It knows short everyday sentences and little else.

| | |
|---|---|
| shape | width {d_model}, {encoder_layers} encoder and {decoder_layers} decoder layers, feed-forward \
{encoder_ffn_dim}, {encoder_attention_heads} heads, {activation_function}, post-norm, sinusoidal positions |
| vocabulary | {vocab_size:,} pieces (sentencepiece unigram), one for both languages; one embedding matrix for source, \
target and output |
| weights | float16, rounded from float32 after training; meant to be computed in float32 |
| data | Tatoeba English-German, {pairs:,} training pairs |
| training | {updates:,} updates, {epochs:.1f} epochs, {minutes:.0f} minutes on {threads} CPU core(s) in \
{precision}; Adam, label smoothing {label_smoothing}, dropout {dropout}; a moving average of the weights |
| BLEU, beam 4 | {bleu4:.2f} |
| BLEU, greedy | {bleu1:.2f} |

BLEU: {dev:,} dev sentences that occur nowhere in the training data, transformers {transformers}, float32;
`{signature}`.

Made by `examples/train_demo_model.py`.

## Attribution

The sentences are from [Tatoeba](https://tatoeba.org), CC BY 2.0 FR, in the English-German selection of
[www.manythings.org/anki](https://www.manythings.org/anki/). Keep this note when you pass the model on.
"""


def evaluate(out: Path, work: Path, data: Path) -> tuple[dict[int, float], str]:
    """BLEU on dev by beam size, and sacrebleu's signature; the translations stay in `work`."""
    sources, references = (read_lines(data / f"dev.{language}.txt.gz") for language in ("en", "de"))
    bleu, scores = sacrebleu.BLEU(), {}
    for num_beams in (4, 1):
        hypotheses = translate(out, sources, num_beams)
        write_text(work / f"dev.beam{num_beams}.de.txt", "\n".join(hypotheses) + "\n")
        scores[num_beams] = bleu.corpus_score(hypotheses, [references]).score
    return scores, str(bleu.get_signature())


def parse() -> tuple[argparse.Namespace, Settings]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=68.0, help="training time; the rate falls to zero at its end")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=5000)
    parser.add_argument("--batch-tokens", type=int, default=3000)
    parser.add_argument("--peak-rate", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=1000, help="updates")
    parser.add_argument("--cooldown", type=float, default=0.4, help="share of the time")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--average-decay", type=float, default=0.999)
    parser.add_argument("--checkpoint-seconds", type=float, default=240.0)
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    return arguments, Settings(**{name: getattr(arguments, name) for name in Settings.__dataclass_fields__})


def main() -> None:
    arguments, settings = parse()
    torch.set_num_threads(settings.threads)
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    train_vocabulary(arguments.data, work, settings.vocabulary)
    pairs, valid = (read_pairs(arguments.data, split, work) for split in ("train", "dev"))
    state = new_state(settings)
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        state.load(checkpoint)
    train(state, pairs, valid, checkpoint, settings)
    export(state.average, work, arguments.out)
    scores, signature = evaluate(arguments.out, work, arguments.data)
    card = CARD.format(
        **state.average.config.to_dict(),
        parameters=state.average.num_parameters(only_trainable=True),
        pairs=len(pairs),
        updates=state.update,
        epochs=state.epoch + state.batch / len(batches(pairs, settings.batch_tokens, settings.seed)),
        minutes=state.seconds / 60,
        threads=settings.threads,
        precision="bfloat16 with float32 weights" if settings.bfloat16 else "float32",
        label_smoothing=settings.label_smoothing,
        bleu4=scores[4],
        bleu1=scores[1],
        dev=len(read_lines(arguments.data / "dev.en.txt.gz")),
        transformers=transformers.__version__,
        signature=signature,
    )
    write_text(arguments.out / "README.md", card)
    print(f"dev BLEU: {scores[4]:.2f} with beam 4, {scores[1]:.2f} greedy")


if __name__ == "__main__":
    main()
