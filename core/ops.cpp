#include "ops.hpp"

#include <algorithm>

#include "layout.hpp"

namespace subbyte {
namespace {
// Below this many multiply-adds a job costs more to hand out than to do.
constexpr size_t kWorthSharing = 400000;
constexpr size_t kChunksPerThread = 3;
}  // namespace

Ops::Ops(const Kernels& kernels, size_t threads, Rounding rounding)
    : kernels_(kernels), threads_(threads), rounding_(rounding), scratch_(threads_.count()) {}

size_t Ops::chunks_for(size_t units, size_t work) const {
  if (threads_.count() == 1 || work < kWorthSharing) return 1;
  return std::max<size_t>(1, std::min(units, threads_.count() * kChunksPerThread));
}

void Ops::quantize(Inputs& inputs, size_t groups) {
  if (inputs.quantized_groups == groups) return;
  const size_t steps = steps_of(inputs.cols);
  int8_t* q = x_.grow(inputs.m * steps * kTile);
  float* scale = x_scale_.grow(inputs.m);
  int32_t* sum = x_sum_.grow(inputs.m * groups);
  for_rows(inputs.m, inputs.cols * 16, [&](size_t row, size_t) {
    kernels_.quantize_rows({inputs.x + row * inputs.cols, q + row * steps * kTile, scale + row, sum + row * groups, 1,
                            inputs.cols, inputs.cols, steps, groups});
  });
  inputs.quantized_groups = groups;
}

void Ops::linear(const Matrix& w, Inputs& inputs, const float* bias, float* y, size_t y_stride) {
  if (seen_)
    if (const auto found = seen_->find(&w); found != seen_->end())
      found->second.insert(found->second.end(), inputs.x, inputs.x + inputs.m * inputs.cols);
  const size_t work = inputs.m * w.rows() * w.cols();
  const auto split = [&](size_t rows, const auto& range) {
    const size_t blocks = blocks_of(rows), chunks = chunks_for(blocks, work * rows / w.rows());
    if (chunks == 1) return range(size_t{0}, blocks, size_t{0});
    threads_.run(chunks, [&](size_t chunk, size_t worker) {
      range(blocks * chunk / chunks, blocks * (chunk + 1) / chunks, worker);
    });
  };
  if (w.dense()) {
    split(w.rows(), [&](size_t begin, size_t end, size_t) {
      kernels_.linear_dense({w.weights(), inputs.x, bias, y, inputs.m, w.rows(), w.cols(), w.stride(), inputs.cols,
                             y_stride, begin * kTile, std::min(end * kTile, w.rows())});
    });
    return;
  }
  const size_t scratch_bytes = 256 * steps_of(w.cols());
  if (rounding_ == Rounding::int8) quantize(inputs, w.groups());
  for (const Matrix::Part& part : w.parts()) {
    split(part.packed.rows, [&](size_t begin, size_t end, size_t worker) {
      uint8_t* scratch = scratch_[worker].grow(scratch_bytes);
      if (rounding_ == Rounding::int8)
        kernels_.linear_int8({part.packed, x_.data(), x_sum_.data(), x_scale_.data(), bias, part.outputs, y, inputs.m,
                              y_stride, begin, end, scratch});
      else
        kernels_.linear_float({part.packed, inputs.x, bias, part.outputs, y, inputs.m, w.cols(), inputs.cols, y_stride,
                               begin, end, scratch});
    });
  }
}

void Ops::layer_norm(const float* x, const float* residual, const std::vector<float>& gamma,
                     const std::vector<float>& beta, float eps, size_t m, float* y) {
  const size_t n = gamma.size();
  for_rows(m, n * 16, [&](size_t row, size_t) {
    kernels_.layer_norm(
        {x + row * n, residual ? residual + row * n : nullptr, gamma.data(), beta.data(), y + row * n, 1, n, eps});
  });
}

void Ops::activate(Activation kind, float* x, size_t n) {
  constexpr size_t kPiece = 4096;  // a multiple of 16: pieces do not change any lane
  for_rows((n + kPiece - 1) / kPiece, kPiece * (kind == Activation::relu ? 1 : 16), [&](size_t piece, size_t) {
    kernels_.activate(kind, x + piece * kPiece, std::min(kPiece, n - piece * kPiece));
  });
}

}  // namespace subbyte
