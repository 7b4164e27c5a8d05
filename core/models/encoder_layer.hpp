// A layer of an encoder: self-attention within each text, then the feed-forward network, both behind a norm.
#pragma once
#include <vector>

#include "models/attention.hpp"
#include "models/feed_forward.hpp"

namespace subbyte {

// The kernel of attention. The two add in different orders; a shape of model keeps the one that its answers have always
// been computed with. By text is the faster, and knows the points of scores and probabilities.
enum class Attending { by_query, by_text };

struct EncoderLayer {
  Product query, key, value, out;
  size_t heads;
  Attending attending;
  Point at_query, at_key, at_value, at_scores, at_probabilities, at_context;
  Residual attended;
  FeedForward feed_forward;

  EncoderLayer(const TensorReader& layer, const AttentionNames& names, const FeedForwardNames& ff_names, size_t width,
               size_t heads, Activation activation, float norm_epsilon, Attending attending)
      : query{layer.linear(names.query, width, width)},
        key{layer.linear(names.key, width, width)},
        value{layer.linear(names.value, width, width)},
        out{layer.linear(names.out, width, width)},
        heads(heads),
        attending(attending),
        attended{layer.norm(names.norm, width, norm_epsilon)},
        feed_forward(layer, ff_names, width, activation, norm_epsilon) {}

  // Changes the rows of x, [tokens, width], which have passed the point `input`.
  void run(Arena& arena, const Spans& texts, const Point& input, float* x);

  // What a point is called, and how many values a row of it has.
  struct Place {
    const char* name;
    size_t width;
    Point* point;
  };
  std::vector<Place> places();
  const Point& output() const { return feed_forward.residual.output; }

  // Fits the products to the points of their inputs.
  Fault fit(const Point& input, Rounding rounding);
  size_t folded_bytes() const;
};

}  // namespace subbyte
