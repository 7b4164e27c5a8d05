// BERT and its family: a post-norm Transformer encoder over texts of unequal lengths, without padding.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/tensors.hpp"
#include "weights/ops.hpp"

namespace subbyte {

struct BertConfig {
  size_t hidden, layers, heads, vocabulary;
  size_t positions, first_position;  // rows of the table of positions, and the row of a text's first token
  size_t types;                      // token types; 0: none
  size_t labels;                     // 0: no pooler and no classifier
  float norm_epsilon;
  Activation activation, pooler_activation;
};

// A place in the computation whose values may be rounded to a grid, and looked at.
struct Point {
  std::optional<Grid> grid;
  std::vector<float> equalizer;        // of what products read, a factor a column; empty: none
  size_t rotation = 1;                 // then turned in blocks of so many columns; 1: not at all
  bool as_codes = false;               // is not rounded itself: products make codes of it
  std::vector<float>* seen = nullptr;  // takes the values before they are rounded
};

// A matrix with its bias; `fixed` is what it makes of inputs on a grid. A matrix of floats has none, and rounds a copy
// of an operand to `grid`.
struct Product {
  Linear linear;
  std::unique_ptr<StaticProduct> fixed;
  const Grid* grid = nullptr;
};

struct BertLayer {
  Product query, key, value, out, in, down;  // in and down: of the feed-forward network
  Norm attention_norm, norm;
  struct {
    Point query, key, value, scores, probabilities, context, attention_output, attention_sum, ffn_input, hidden,
        ffn_output, ffn_sum, output;
  } at;
};

// A text: token ids, and for each its type (no types at all: all of type 0).
struct Text {
  std::vector<uint32_t> tokens, types;
};

enum class Pooling { mean, cls, max };

class Bert {
 public:
  // `grids` and `rotations`: of points, by the names of models/bert.py. Throws std::invalid_argument naming what is
  // missing or does not fit.
  Bert(const BertConfig& config, const Tensors& tensors, const std::map<std::string, Grid>& grids,
       const std::map<std::string, size_t>& rotations, const Kernels& kernels, size_t threads, Rounding rounding);

  const BertConfig& config() const { return config_; }
  Ops& ops() { return ops_; }
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
  void product(const Product& w, Inputs& inputs, float* y);
  void pass(Point& point, size_t m, size_t n, float* x);
  void add_and_normalize(Point& sum, const Norm& norm, size_t m, const float* added, float* x);
  void after_attention(BertLayer& layer, size_t first, size_t rows);
  void embed(const std::vector<Text>& texts);
  void attend(BertLayer& layer, const std::vector<Text>& texts, size_t tokens);

  BertConfig config_;
  Ops ops_;
  std::map<std::string, Point*> points_;
  std::shared_ptr<const Matrix> words_, positions_, types_;
  Norm embedding_norm_;
  Point embedded_words_, embedded_sum_, embedded_, pooled_, logits_;
  std::vector<BertLayer> layers_;
  Product pooler_, classifier_;
  // The arena: grows to the largest batch seen and is used again for every layer.
  Buffer<float> x_, query_, key_, value_, context_, wide_, rounded_;
  std::vector<Buffer<float>> scratch_;  // one a worker
};

}  // namespace subbyte
