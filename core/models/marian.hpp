// MarianMT: a post-norm Transformer encoder-decoder. Weights, the encoder, and one step of the decoder.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "models/decoder.hpp"
#include "models/tensors.hpp"
#include "weights/ops.hpp"
#include "weights/screen.hpp"

namespace subbyte {

// How fast sinusoidal positions turn: value i of d / 2 by 10000^(-2i / d) (transformers) or 10000^(-i / (d / 2 - 1))
// (Marian).
enum class Positions { transformers, marian };

struct MarianConfig {
  size_t d_model, encoder_layers, decoder_layers, encoder_heads, decoder_heads, max_positions, vocabulary;
  float embedding_scale, norm_epsilon;
  Activation activation;
  Positions positions;
  bool recurrent;   // decoder cells are SSRU, not self-attention
  bool zero_start;  // the decoder's first input is a zero vector, not the start token
};

struct AttentionLayer {
  Linear query, key, value, out;
  Norm norm;
};

struct FeedForward {
  Linear in, out;
  Norm norm;
};

struct EncoderLayer {
  AttentionLayer self;
  FeedForward feed_forward;
};

// state = f * state + (1 - f) * input(x), f = sigmoid(forget(x)); x = norm(x + relu(state)).
struct RecurrentLayer {
  Linear input, forget;
  Norm norm;
};

struct DecoderLayer {
  std::variant<AttentionLayer, RecurrentLayer> cell;
  AttentionLayer cross;
  FeedForward feed_forward;
};

// What the decoder reads of a batch of encoded sentences: keys and values of every layer, computed once.
struct Memory {
  Buffer<float> key_values;                     // [decoder_layers, tokens, 2 * d_model]
  std::vector<std::vector<const float*>> rows;  // [sentences][length] the tokens' rows of layer 0
  size_t layer_stride = 0;
};

// The decoder's state by time step, and for every running hypothesis its sentence and the rows it descends from. A row
// holds a key and a value (self-attention) or a state (SSRU).
struct Cache {
  std::vector<Buffer<float>> steps;                // [time] of [hypotheses, decoder_layers, 2 * d_model]
  std::vector<std::vector<const float*>> history;  // [hypotheses][time] rows of layer 0
  std::vector<size_t> sentences;                   // [hypotheses]
  size_t time = 0;                                 // steps done

  void start(const std::vector<size_t>& sentences_of);
  void reorder(const std::vector<size_t>& parents);

 private:
  std::vector<std::vector<const float*>> next_;
  std::vector<size_t> next_sentences_;
};

// The position table, [sin | cos] of position * rate, computed in double as transformers does. Rows are made when they
// are asked for: all of them take as long as a tenth of loading a model.
class Sinusoids {
 public:
  Sinusoids(size_t d, Positions kind);

  // [d], valid until a later row is asked for.
  const float* row(size_t position);

 private:
  size_t d_, rows_ = 0;
  std::vector<double> divisors_;
  std::vector<float> table_;  // [rows_, d]
};

class Marian : public Decoder {
 public:
  // Throws std::invalid_argument naming a tensor that is missing or of another shape.
  Marian(const MarianConfig& config, const Tensors& tensors, const Kernels& kernels, size_t threads, Rounding rounding);

  const MarianConfig& config() const { return config_; }
  Ops& ops() { return ops_; }

  size_t source_vocabulary() const { return source_embedding_->rows(); }
  size_t vocabulary() const override { return config_.vocabulary; }
  const Kernels& kernels() const override { return ops_.kernels(); }
  void encode(const std::vector<std::vector<uint32_t>>& sentences) override;
  void start(const std::vector<size_t>& sentences) override { cache_.start(sentences); }
  void reorder(const std::vector<size_t>& parents) override { cache_.reorder(parents); }
  void step(const std::vector<uint32_t>& tokens) override;
  float* logits() override;
  bool likeliest(const std::vector<uint32_t>& banned, std::vector<uint32_t>& tokens) override;
  void watch_output() override;

  size_t screen_bytes() const { return screen_ ? screen_->bytes() : 0; }  // resident, beside the matrices

 private:
  void embed(const Matrix& table, uint32_t token, size_t position, float* out);
  void attend(const AttentionLayer& layer, Inputs& queries, size_t heads,
              const std::vector<const std::vector<const float*>*>& rows, size_t offset);
  void recur(const RecurrentLayer& layer, size_t m, size_t offset, float* states, size_t stride);
  void feed_forward(const FeedForward& layer, size_t m);

  MarianConfig config_;
  Ops ops_;
  std::shared_ptr<const Matrix> source_embedding_, target_embedding_, output_;
  std::vector<float> output_bias_;
  Sinusoids positions_;
  std::unique_ptr<Screen> screen_;  // of output_; null if there is none
  std::vector<EncoderLayer> encoder_;
  std::vector<DecoderLayer> decoder_;
  Memory memory_;
  Cache cache_;
  // The arena: grows to the largest batch seen and is used again for every layer and token.
  Buffer<float> x_, query_, context_, hidden_, logits_, key_values_;
  std::vector<Buffer<float>> scores_;  // one a worker
  size_t hypotheses_ = 0;              // of the last step, whose states are in x_
  std::vector<const std::vector<const float*>*> self_rows_, cross_rows_;
};

}  // namespace subbyte
