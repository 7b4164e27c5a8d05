// A translation model: an encoder, and a decoder whose layers look back (Cell), at the sentence, and at themselves.
#pragma once
#include <memory>
#include <vector>

#include "models/attention_cell.hpp"
#include "models/decoder.hpp"
#include "models/encoder_layer.hpp"
#include "models/positions.hpp"
#include "models/ssru_cell.hpp"

namespace subbyte {

struct TranslationConfig {
  size_t d_model, encoder_layers, decoder_layers, encoder_heads, decoder_heads, max_positions, vocabulary;
  float embedding_scale, norm_epsilon;
  Activation activation;
  Rates rates;
  bool recurrent;   // decoder cells are SSRU, not self-attention
  bool zero_start;  // the decoder's first input is a zero vector, not the start token
};

class Translation : public Decoder {
 public:
  static Result<std::unique_ptr<Translation>> of(const TranslationConfig& config, const Tensors& tensors,
                                                 const Runtime& runtime);

  const TranslationConfig& config() const { return config_; }
  Ops& ops() { return arena_.ops; }
  size_t source_vocabulary() const { return source_embedding_->rows(); }
  size_t screen_bytes() const { return screen_ ? screen_->bytes() : 0; }  // resident, beside the matrices

  size_t vocabulary() const override { return config_.vocabulary; }
  const Kernels& kernels() const override { return arena_.ops.kernels(); }
  void encode(const std::vector<std::vector<uint32_t>>& sentences) override;
  void start(const std::vector<size_t>& sentences) override { states_.start(sentences); }
  void reorder(const std::vector<size_t>& parents) override { states_.reorder(parents); }
  void step(const std::vector<uint32_t>& tokens) override;
  float* logits() override;
  bool likeliest(const std::vector<uint32_t>& banned, std::vector<uint32_t>& tokens) override;
  void watch_output() override;

 private:
  struct Layer {
    std::unique_ptr<Cell> cell;
    Residual after_cell;
    DecoderAttention cross;
    Residual after_cross;
    FeedForward feed_forward;
  };

  Translation(const TranslationConfig& config, const TensorReader& tensors, const Runtime& runtime);
  void embed(const Matrix& table, uint32_t token, float* out) const;
  Inputs last_states() { return {x_.data(), hypotheses_, config_.d_model}; }

  TranslationConfig config_;
  Arena arena_;
  std::shared_ptr<const Matrix> source_embedding_, target_embedding_, output_;
  std::vector<float> output_bias_;
  Sinusoids positions_;
  std::unique_ptr<Screen> screen_;  // of output_; null if there is none
  std::vector<EncoderLayer> encoder_;
  std::vector<Layer> decoder_;
  size_t row_width_ = 0;  // of the states of all cells
  // What was encoded: for every decoder layer keys and values, [decoder_layers, tokens, 2 * d_model], and the tokens'
  // rows of the first one.
  Spans sentences_;
  Buffer<float> memory_;
  std::vector<const float*> memory_rows_;
  States states_;
  std::vector<Sight> crossing_;  // what each hypothesis sees of its sentence
  Buffer<float> x_, logits_;
  size_t hypotheses_ = 0;  // of the last step, whose states are in x_
};

}  // namespace subbyte
