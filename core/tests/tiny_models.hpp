// Models of a few thousand drawn weights.
#pragma once
#include <string>

#include "models/tensors.hpp"
#include "tests/random.hpp"

namespace subbyte::tests {

constexpr size_t kWidth = 32, kHidden = 48, kWords = 40;

constexpr const char* kTranslation = R"({
  "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_heads": 2, "decoder_heads": 4,
  "max_positions": 64, "vocabulary": 40, "embedding_scale": 5.5, "norm_epsilon": 1e-5, "activation": "swish",
  "positions": "transformers", "recurrent": false, "zero_start": false})";

constexpr const char* kSearch = R"({
  "beam_size": 3, "num_hypotheses": 2, "max_length": 20, "max_length_factor": 0, "min_length": 0, "length_penalty": 1,
  "early_stopping": "heuristic", "scores": true, "renormalize": false, "forced_end": -1, "start": 1, "end": 0,
  "banned": [1], "other_ends": [], "prefix": [], "forced_begin": -1, "banned_at_begin": [],
  "banned_sequences": [[3, 4], [5, 6, 7]], "repetition_penalty": 1, "no_repeat_ngram_size": 0, "do_sample": false,
  "temperature": 1, "top_k": 50, "top_p": 1, "seed": 18446744073709551615})";

constexpr const char* kEncoder = R"({
  "hidden": 32, "layers": 2, "heads": 2, "vocabulary": 40, "positions": 20, "first_position": 0, "types": 2,
  "labels": 3, "norm_epsilon": 1e-12, "activation": "gelu", "pooler_activation": "tanh"})";

class Drawn {
 public:
  explicit Drawn(uint64_t seed) : random_(seed) {}

  void matrix(const std::string& name, size_t rows, size_t cols, size_t bits = 4) {
    tensors.matrices[name] = *Weights(random_, rows, cols, bits, 1).matrix();
  }
  void vector(const std::string& name, size_t size) { tensors.vectors[name] = random_.numbers(size); }
  void linear(const std::string& name, size_t rows, size_t cols) {
    matrix(name + ".weight", rows, cols);
    vector(name + ".bias", rows);
  }
  void norm(const std::string& name) {
    vector(name + ".weight", kWidth);
    vector(name + ".bias", kWidth);
  }

  Tensors tensors;

 private:
  Random random_;
};

inline Tensors tiny_translation() {
  Drawn drawn(7);
  const auto attention = [&](const std::string& name) {
    for (const char* part : {".q_proj", ".k_proj", ".v_proj", ".out_proj"}) drawn.linear(name + part, kWidth, kWidth);
    drawn.norm(name + "_layer_norm");
  };
  const auto feed_forward = [&](const std::string& layer) {
    drawn.linear(layer + "fc1", kHidden, kWidth);
    drawn.linear(layer + "fc2", kWidth, kHidden);
    drawn.norm(layer + "final_layer_norm");
  };
  attention("model.encoder.layers.0.self_attn");
  feed_forward("model.encoder.layers.0.");
  for (const std::string layer : {"model.decoder.layers.0.", "model.decoder.layers.1."}) {
    attention(layer + "self_attn");
    attention(layer + "encoder_attn");
    feed_forward(layer);
  }
  drawn.matrix("model.encoder.embed_tokens.weight", kWords, kWidth);
  drawn.matrix("model.decoder.embed_tokens.weight", kWords, kWidth);
  drawn.matrix("lm_head.weight", kWords, kWidth, 8);
  drawn.vector("final_logits_bias", kWords);
  return drawn.tensors;
}

inline Tensors tiny_encoder() {
  Drawn drawn(8);
  drawn.matrix("embeddings.word_embeddings.weight", kWords, kWidth);
  drawn.matrix("embeddings.position_embeddings.weight", 20, kWidth);
  drawn.matrix("embeddings.token_type_embeddings.weight", 2, kWidth);
  drawn.norm("embeddings.LayerNorm");
  for (const std::string layer : {"encoder.layer.0.", "encoder.layer.1."}) {
    for (const char* part :
         {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"})
      drawn.linear(layer + part, kWidth, kWidth);
    drawn.linear(layer + "intermediate.dense", kHidden, kWidth);
    drawn.linear(layer + "output.dense", kWidth, kHidden);
    drawn.norm(layer + "attention.output.LayerNorm");
    drawn.norm(layer + "output.LayerNorm");
  }
  drawn.linear("pooler.dense", kWidth, kWidth);
  drawn.linear("classifier", 3, kWidth);
  return drawn.tensors;
}

}  // namespace subbyte::tests
