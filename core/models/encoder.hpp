// An encoder of texts of unequal lengths, without padding: vectors of tokens, of whole texts, and scores of labels.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/encoder_layer.hpp"
#include "models/positions.hpp"

namespace subbyte {

struct EncoderConfig {
  size_t hidden, layers, heads, vocabulary;
  size_t positions, first_position;  // rows of the table of positions, and the row of a text's first token
  size_t types;                      // token types; 0: none
  size_t labels;                     // 0: no pooler and no classifier
  float norm_epsilon;
  Activation activation, pooler_activation;
};

// A text: token ids, and for each its type (no types at all: all of type 0).
struct Text {
  std::vector<uint32_t> tokens, types;
};

enum class Pooling { mean, cls, max };

class Encoder {
 public:
  // `grids` and `rotations`: of points, by the names of `point`.
  static Result<std::unique_ptr<Encoder>> of(const EncoderConfig& config, const Tensors& tensors,
                                             const std::map<std::string, Grid>& grids,
                                             const std::map<std::string, size_t>& rotations, const Runtime& runtime);

  const EncoderConfig& config() const { return config_; }
  Ops& ops() { return arena_.ops; }
  size_t longest() const { return config_.positions - config_.first_position; }
  size_t folded_bytes() const;  // resident, beside the matrices

  // The point of a name; null if there is none. Scores and probabilities take grids only.
  Point* point(const std::string& name);

  // The last layer's values of all tokens, [tokens, hidden], one text behind the other; valid until the next call.
  const float* encode(const std::vector<Text>& texts);

  // One vector a text of what `encode` left, [texts, hidden].
  void pool(const std::vector<Text>& texts, Pooling pooling, float* out) const;

  // Logits of what `encode` left, [texts, labels].
  void classify(const std::vector<Text>& texts, float* out);

 private:
  Encoder(const EncoderConfig& config, const TensorReader& tensors, const Runtime& runtime);
  void read_points(const TensorReader& tensors, const std::map<std::string, Grid>& grids,
                   const std::map<std::string, size_t>& rotations);
  Fault fit(Rounding rounding);
  void embed(const std::vector<Text>& texts, const Spans& spans);
  const Point& output() const { return layers_.empty() ? embedded_ : layers_.back().output(); }

  EncoderConfig config_;
  Arena arena_;
  std::map<std::string, Point*> points_;
  std::shared_ptr<const Matrix> words_, types_, positions_;
  Norm embedding_norm_;
  Point embedded_words_, embedded_sum_, embedded_, pooled_, logits_;
  std::vector<EncoderLayer> layers_;
  Product pooler_, classifier_;
  Buffer<float> x_;
};

}  // namespace subbyte
