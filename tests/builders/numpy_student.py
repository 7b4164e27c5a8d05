"""A student in numpy, as Marian defines it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

SOURCE = [5, 9, 2, 17, 3, 3, 8, 0]  # a sentence


class Numpy:
    """A student as Marian defines it, in float64, one sentence at a time; `w` by Marian's names."""

    def __init__(self, w: Mapping[str, np.ndarray], heads: int = 4, layers: int = 2, activation: str = "relu") -> None:
        self.w = {name: value.astype(np.float64) for name, value in w.items()}
        self.heads, self.layers, self.activation = heads, layers, activation
        self.recurrent = "decoder_l1_rnn_W" in w
        self.source = self.w.get("encoder_Wemb", self.w.get("Wemb"))
        self.target = self.w.get("decoder_Wemb", self.w.get("Wemb"))
        self.output = self.w.get("decoder_ff_logit_out_Wt", self.target)
        self.width = self.source.shape[1]

    def positions(self, count: int) -> np.ndarray:
        half = self.width // 2
        angles = np.arange(count)[:, None] * np.exp(-np.log(10000) / (half - 1) * np.arange(half))
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * self.w[f"{name}_ln_scale"][0] + self.w[f"{name}_ln_bias"][0]

    def attention(self, x: np.ndarray, memory: np.ndarray, name: str, causal: bool = False) -> np.ndarray:
        def heads(inputs: np.ndarray, letter: str) -> np.ndarray:
            y = inputs @ self.w[f"{name}_W{letter}"] + self.w[f"{name}_b{letter}"]
            return y.reshape(len(inputs), self.heads, -1).transpose(1, 0, 2)

        query, key, value = heads(x, "q"), heads(memory, "k"), heads(memory, "v")
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        if causal:
            scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        context = (weights @ value).transpose(1, 0, 2).reshape(len(x), -1)
        return self.norm(x + context @ self.w[f"{name}_Wo"] + self.w[f"{name}_bo"], f"{name}_Wo")

    def ssru(self, x: np.ndarray, name: str) -> np.ndarray:
        state = np.zeros(self.width)
        out = []
        for row in x:
            forget = 1 / (1 + np.exp(-(row @ self.w[f"{name}_Wf"] + self.w[f"{name}_bf"][0])))
            state = forget * state + (1 - forget) * (row @ self.w[f"{name}_W"])
            out.append(np.maximum(state, 0))
        return self.norm(x + np.array(out), f"{name}_ffn")

    def feed_forward(self, x: np.ndarray, name: str) -> np.ndarray:
        hidden = x @ self.w[f"{name}_W1"] + self.w[f"{name}_b1"]
        hidden = np.maximum(hidden, 0) if self.activation == "relu" else hidden / (1 + np.exp(-hidden))
        return self.norm(x + hidden @ self.w[f"{name}_W2"] + self.w[f"{name}_b2"], f"{name}_ffn")

    def logits(self, source: list[int], target: list[int]) -> np.ndarray:
        """After each of `target`, whose first one is not looked at."""
        x = self.source[source] * np.sqrt(self.width) + self.positions(len(source))
        for i in range(1, self.layers + 1):
            x = self.attention(x, x, f"encoder_l{i}_self")
            x = self.feed_forward(x, f"encoder_l{i}_ffn")
        y = self.target[target] * np.sqrt(self.width)
        y[0] = 0
        y += self.positions(len(target))
        for i in range(1, self.layers + 1):
            if self.recurrent:
                y = self.ssru(y, f"decoder_l{i}_rnn")
            else:
                y = self.attention(y, y, f"decoder_l{i}_self", causal=True)
            y = self.attention(y, x, f"decoder_l{i}_context")
            y = self.feed_forward(y, f"decoder_l{i}_ffn")
        logits: np.ndarray = y @ self.output.T + self.w.get("decoder_ff_logit_out_b", 0)
        return logits

    def greedy(self, source: list[int], length: int) -> list[int]:
        """At most `length` ids; <unk> is not among them."""
        target = [0]
        while len(target) <= length:
            logits = self.logits(source, target)[-1]
            logits[1] = -np.inf
            best = int(logits.argmax())
            if best == 0:
                break
            target.append(best)
        return target[1:]
