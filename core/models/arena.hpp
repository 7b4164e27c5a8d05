// What the blocks of a model run with.
#pragma once
#include <vector>

#include "weights/ops.hpp"

namespace subbyte {

// Where and how a model runs.
struct Runtime {
  const Kernels* kernels;
  size_t threads;  // the caller included
  Rounding rounding;
};

// Operations, and memory that grows to the largest batch seen and is used again for every layer and step. A block may
// leave anything in it.
struct Arena {
  explicit Arena(const Runtime& runtime)
      : ops(*runtime.kernels, runtime.threads, runtime.rounding), scratch(ops.threads().count()) {}

  Ops ops;
  Buffer<float> query, key_value, context, added, wide, rounded;
  std::vector<Buffer<float>> scratch;  // one a worker
};

// Texts one behind the other, without padding.
struct Spans {
  std::vector<size_t> first = {0};  // token of each text, and behind the last
  size_t longest = 0;

  void add(size_t length) {
    first.push_back(first.back() + length);
    longest = length > longest ? length : longest;
  }
  size_t count() const { return first.size() - 1; }
  size_t tokens() const { return first.back(); }
  size_t length(size_t text) const { return first[text + 1] - first[text]; }
};

}  // namespace subbyte
