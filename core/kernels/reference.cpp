// The definition of every kernel, written to be read. Compiled for the baseline CPU, never tuned.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.hpp"
#include "kernels/layout.hpp"
#include "kernels/math.hpp"

namespace subbyte {
namespace {

// 16 running sums, folded in the written order.
struct Lanes {
  float lane[kTile] = {};
  void add(size_t i, float value) { lane[i % kTile] += value; }
  void add_product(size_t i, float a, float b) { lane[i % kTile] = std::fma(a, b, lane[i % kTile]); }
  float fold() const {
    float v[kTile];
    std::memcpy(v, lane, sizeof v);
    for (size_t w = kTile / 2; w > 0; w /= 2)
      for (size_t i = 0; i < w; ++i) v[i] += v[i + w];
    return v[0];
  }
};

void linear_int8(const LinearInt8& a) {
  const Packed& w = a.w;
  const size_t group_size = w.steps / w.groups * kTile;
  for (size_t row = a.block_begin * kTile; row < a.block_end * kTile && row < w.rows; ++row) {
    const size_t out = a.outputs ? a.outputs[row] : row;
    for (size_t i = 0; i < a.m; ++i) {
      float y = 0.0f;
      for (size_t g = 0; g < w.groups; ++g) {
        int32_t sum = 0;
        for (size_t k = g * group_size; k < (g + 1) * group_size; ++k)
          sum += a.x[i * w.steps * kTile + k] * (level_at(w, row, k) - zero_at(w, row, g));
        const float part = static_cast<float>(sum) * scale_at(w, row, g);
        y = g == 0 ? part : y + part;
      }
      y *= a.x_scale[i];
      a.y[i * a.y_stride + out] = a.bias ? y + a.bias[out] : y;
    }
  }
}

void linear_float(const LinearFloat& a) {
  const Packed& w = a.w;
  const size_t group_size = w.steps / w.groups * kTile;
  for (size_t row = a.block_begin * kTile; row < a.block_end * kTile && row < w.rows; ++row) {
    const size_t out = a.outputs ? a.outputs[row] : row;
    for (size_t i = 0; i < a.m; ++i) {
      float y = 0.0f;
      for (size_t g = 0; g < w.groups; ++g) {
        Lanes sum;
        for (size_t k = g * group_size; k < (g + 1) * group_size && k < a.cols; ++k)
          sum.add_product(k, a.x[i * a.x_stride + k], static_cast<float>(level_at(w, row, k) - zero_at(w, row, g)));
        const float part = sum.fold() * scale_at(w, row, g);
        y = g == 0 ? part : y + part;
      }
      a.y[i * a.y_stride + out] = a.bias ? y + a.bias[out] : y;
    }
  }
}

void linear_dense(const LinearDense& a) {
  for (size_t row = a.row_begin; row < a.row_end; ++row) {
    for (size_t i = 0; i < a.m; ++i) {
      Lanes sum;
      for (size_t k = 0; k < a.cols; ++k) sum.add_product(k, a.x[i * a.x_stride + k], a.w[row * a.w_stride + k]);
      a.y[i * a.y_stride + row] = a.bias ? sum.fold() + a.bias[row] : sum.fold();
    }
  }
}

void quantize_rows(const QuantizeRows& a) {
  using constants::kRound;
  for (size_t i = 0; i < a.m; ++i) {
    const float* x = a.x + i * a.x_stride;
    int8_t* q = a.q + i * a.steps * kTile;
    float amax = 0.0f;
    for (size_t k = 0; k < a.cols; ++k) amax = std::fabs(x[k]) > amax ? std::fabs(x[k]) : amax;
    a.scale[i] = amax / 127.0f;
    const float inverse = amax > 0.0f ? 127.0f / amax : 0.0f;
    std::memset(q, 0, a.steps * kTile);
    for (size_t g = 0; g < a.groups; ++g) a.sum[i * a.groups + g] = 0;
    for (size_t k = 0; k < a.cols; ++k) {
      q[k] = static_cast<int8_t>(static_cast<int>((x[k] * inverse + kRound) - kRound));
      a.sum[i * a.groups + k / kTile / (a.steps / a.groups)] += q[k];
    }
  }
}

float grid_code(float x, const GridGroup& g) {
  const float code = (x * g.inverse + constants::kRound) - constants::kRound + g.zero;
  const float low = 0.0f - g.limit, above = code > low ? code : low;
  return above < g.limit ? above : g.limit;
}

float on_grid(float x, const GridGroup& g) { return g.scale * (grid_code(x, g) - g.zero); }

void round_to_grid(float* x, size_t n, const GridGroup& grid) {
  for (size_t i = 0; i < n; ++i) x[i] = on_grid(x[i], grid);
}

void round_columns(float* x, size_t n, const GridColumns& g) {
  for (size_t i = 0; i < n; ++i) x[i] = on_grid(x[i], {g.inverse[i], g.scale[i], g.zero[i], g.limit});
}

void grid_codes(const GridCodes& a) {
  const size_t padded = (a.n + kTile - 1) / kTile * kTile;
  int32_t high_sum = 0, low_sum = 0;
  for (size_t i = 0; i < padded; ++i) {
    const float code = i < a.n ? grid_code(a.x[i], a.grid) : 0.0f;
    const float high = a.low ? (code * constants::kHigh + constants::kRound) - constants::kRound : code;
    a.high[i] = static_cast<int8_t>(high);
    high_sum += a.high[i];
    if (!a.low) continue;
    a.low[i] = static_cast<int8_t>(code - 255.0f * high);
    low_sum += a.low[i];
  }
  *a.high_sum = high_sum;
  if (a.low) *a.low_sum = low_sum;
}

void operand(const Operand& a) {
  for (size_t i = 0; i < a.n; ++i) a.y[i] = a.factors ? a.x[i] * a.factors[i] : a.x[i];
  for (size_t stride = 1; stride < a.rotation; stride *= 2) {
    for (size_t i = 0; i < a.n; ++i) {
      if (i & stride) continue;
      const float low = a.y[i], high = a.y[i + stride];
      a.y[i] = low + high;
      a.y[i + stride] = low - high;
    }
  }
  if (a.rotation == 1) return;
  const float length = 1.0f / std::sqrt(static_cast<float>(a.rotation));
  for (size_t i = 0; i < a.n; ++i) a.y[i] *= length;
}

void layer_norm(const LayerNorm& a) {
  const float n = static_cast<float>(a.n);
  for (size_t i = 0; i < a.m; ++i) {
    const float* x = a.x + i * a.n;
    const float* residual = a.residual ? a.residual + i * a.n : nullptr;
    float* y = a.y + i * a.n;
    Lanes sum, squares;
    for (size_t k = 0; k < a.n; ++k) {
      y[k] = residual ? x[k] + residual[k] : x[k];
      sum.add(k, y[k]);
    }
    const float mean = sum.fold() / n;
    for (size_t k = 0; k < a.n; ++k) squares.add(k, (y[k] - mean) * (y[k] - mean));
    const float inverse = 1.0f / std::sqrt(squares.fold() / n + a.eps);
    for (size_t k = 0; k < a.n; ++k) y[k] = (y[k] - mean) * inverse * a.gamma[k] + a.beta[k];
  }
}

float exp_of(float x) {
  using namespace constants;
  if (!(x > kExpLow)) return 0.0f;
  x = x < kExpHigh ? x : kExpHigh;
  const float n = std::fma(x, kLog2E, kRound) - kRound;
  const float r = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, x));
  float p = kExp[0];
  for (int i = 1; i < 8; ++i) p = std::fma(p, r, kExp[i]);
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}

// scores[t] becomes exp(scores[t] - max). Returns 1 / their sum.
float exponentials(float* scores, size_t length, float max) {
  Lanes total;
  for (size_t t = 0; t < length; ++t) {
    scores[t] = exp_of(scores[t] - max);
    total.add(t, scores[t]);
  }
  return 1.0f / total.fold();
}

void attention(const Attention& a) {
  for (size_t h = 0; h < a.heads; ++h) {
    const size_t first = h * a.head_dim;
    float max = -INFINITY;
    for (size_t t = 0; t < a.length; ++t) {
      const float* key = a.rows[t] + a.key + first;
      Lanes dot;
      for (size_t k = 0; k < a.head_dim; ++k) dot.add_product(k, a.q[first + k], key[k]);
      a.scores[t] = dot.fold() * a.scale;
      max = a.scores[t] > max ? a.scores[t] : max;
    }
    const float inverse = exponentials(a.scores, a.length, max);
    for (size_t k = 0; k < a.head_dim; ++k) {
      float sum = 0.0f;
      for (size_t t = 0; t < a.length; ++t) sum = std::fma(a.scores[t], a.rows[t][a.value + first + k], sum);
      a.y[first + k] = sum * inverse;
    }
  }
}

void self_attention(const SelfAttention& a) {
  for (size_t i = 0; i < a.length; ++i) {
    float max = -INFINITY;
    for (size_t t = 0; t < a.length; ++t) {
      float score = 0.0f;
      for (size_t k = 0; k < a.head_dim; ++k) score = std::fma(a.q[i * a.stride + k], a.key[t * a.stride + k], score);
      if (a.scores) score = on_grid(score, *a.scores);
      a.scratch[t] = score * a.scale;
      max = a.scratch[t] > max ? a.scratch[t] : max;
    }
    const float inverse = exponentials(a.scratch, a.length, max);
    for (size_t t = 0; t < a.length; ++t) {
      a.scratch[t] *= inverse;
      if (a.probabilities) a.scratch[t] = on_grid(a.scratch[t], *a.probabilities);
    }
    for (size_t k = 0; k < a.head_dim; ++k) {
      float sum = 0.0f;
      for (size_t t = 0; t < a.length; ++t) sum = std::fma(a.scratch[t], a.value[t * a.stride + k], sum);
      a.y[i * a.stride + k] = sum;
    }
  }
}

float sigmoid(float x) { return 1.0f / (1.0f + exp_of(0.0f - x)); }

void ssru(const Ssru& a) {
  for (size_t i = 0; i < a.n; ++i) {
    const float f = sigmoid(a.forget[i]), previous = a.previous ? a.previous[i] : 0.0f;
    a.state[i] = f * previous + (1.0f - f) * a.input[i];
    a.y[i] = a.state[i] > 0.0f ? a.state[i] : 0.0f;
  }
}

float erf_of(float x) {
  using namespace constants;
  const float size = std::fabs(x);
  const float t = 1.0f / std::fma(kErfP, size, 1.0f);
  float p = kErf[0];
  for (int i = 1; i < 5; ++i) p = std::fma(p, t, kErf[i]);
  const float value = 1.0f - p * t * exp_of(0.0f - size * size);
  return x < 0.0f ? -value : value;
}

void activate(Activation kind, float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    switch (kind) {
      case Activation::relu: x[i] = x[i] > 0.0f ? x[i] : 0.0f; break;
      case Activation::swish: x[i] = x[i] * sigmoid(x[i]); break;
      case Activation::tanh: x[i] = 1.0f - 2.0f / (exp_of(x[i] + x[i]) + 1.0f); break;
      case Activation::gelu: x[i] = x[i] * 0.5f * (1.0f + erf_of(x[i] * constants::kSqrtHalf)); break;
    }
  }
}

void run_max(const float* x, size_t n, float* out) {
  for (size_t begin = 0; begin < n; begin += kRun) {
    float max = -INFINITY;
    for (size_t i = begin; i < n && i < begin + kRun; ++i) max = x[i] > max ? x[i] : max;
    out[begin / kRun] = max;
  }
}

float exp_sum(const float* x, size_t n, float max) {
  Lanes sum;
  for (size_t i = 0; i < n; ++i) sum.add(i, exp_of(x[i] - max));
  return sum.fold();
}

void compensate(const Compensate& a) {
  const size_t n = a.cols;
  float *rest = a.scratch, *level = a.scratch + n * kTile;
  for (size_t lane = 0; lane < kTile; ++lane) {
    const auto round = [&](size_t j, float value, float room) {
      const size_t first = a.group[j] * (a.levels - 1);
      size_t above = 0;
      for (size_t k = first; k < first + a.levels - 1; ++k) {
        const float border = a.borders[k * kTile + lane];
        above += (a.shift ? std::fma(a.shift[k * kTile + lane], room, border) : border) > value;
      }
      const size_t number = a.levels - 1 - above;
      a.numbers[j * kTile + lane] = static_cast<uint8_t>(number);
      level[j] = a.values[(a.group[j] * a.levels + number) * kTile + lane];
    };
    for (size_t j = 0; j < n; ++j) rest[j] = a.w[j * kTile + lane];
    for (size_t j = 0; j < n; ++j) {
      round(j, rest[j], a.spread[j * n + j] * a.spread[j * n + j]);
      const float error = (rest[j] - level[j]) / a.spread[j * n + j];
      for (size_t c = j + 1; c < n; ++c) rest[c] = std::fma(-error, a.spread[j * n + c], rest[c]);
    }
    float* slope = rest;
    std::fill_n(slope, n, 0.0f);
    for (size_t j = 0; j < n; ++j)
      for (size_t c = 0; c < n; ++c) slope[c] = std::fma(a.w[j * kTile + lane] - level[j], a.gram[j * n + c], slope[c]);
    for (size_t sweep = 0; sweep < a.sweeps; ++sweep) {
      for (size_t j = 0; j < n; ++j) {
        const float before = level[j];
        round(j, before + slope[j] / a.gram[j * n + j], 1.0f / a.gram[j * n + j]);
        for (size_t c = 0; c < n; ++c) slope[c] = std::fma(-(level[j] - before), a.gram[j * n + c], slope[c]);
      }
    }
  }
}

}  // namespace

void reference_kernels(Kernels& table) {
  table = {nullptr,       0,          linear_int8, linear_float, linear_dense, quantize_rows,  round_to_grid,
           round_columns, grid_codes, operand,     layer_norm,   attention,    self_attention, ssru,
           activate,      run_max,    exp_sum,     compensate};
}

}  // namespace subbyte
