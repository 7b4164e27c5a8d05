// Every instruction set that runs here gives the bits of the reference. tests/test_kernels.py asks for more shapes.
#include <cmath>

#include "tests/check.hpp"
#include "tests/random.hpp"
#include "weights/compensation.hpp"
#include "weights/ops.hpp"

namespace subbyte::tests {
namespace {

struct Shape {
  size_t rows, cols, bits, groups;
  bool binary = false, zeros = false;
};
constexpr Shape kShapes[] = {{1, 16, 1, 1},        {37, 48, 2, 3, false, true}, {16, 40, 3, 1},
                             {35, 64, 4, 2, true}, {20, 96, 4, 1, false, true}, {33, 128, 1, 2, true},
                             {19, 32, 6, 1},       {50, 80, 8, 5, false, true}, {64, 256, 8, 1}};

// Runs f(kernels) with each instruction set: what it returns must be the same.
template <class F>
void same_on_all(const F& f) {
  const FloatMode mode;
  const std::vector<float> expected = f(isas().back().kernels);
  for (const Isa& isa : isas()) {
    if (!isa.runs) continue;
    const bool same = same_bits(f(isa.kernels), expected);
    if (!same) std::printf("%s:\n", isa.name);
    CHECK(same);
  }
}

std::vector<float> product(const Matrix& w, const Kernels& kernels, size_t threads, Rounding rounding, size_t m) {
  Random random(m);
  const std::vector<float> x = random.numbers(m * w.cols()), bias = random.numbers(w.rows());
  std::vector<float> y(m * w.rows());
  Ops ops(kernels, threads, rounding);
  Inputs inputs = {x.data(), m, w.cols()};
  ops.linear(w, inputs, bias.data(), y.data(), w.rows());
  return y;
}

}  // namespace

TEST(products_of_codes_are_those_of_the_reference) {
  Random random(1);
  for (const Shape& s : kShapes) {
    const auto w = Weights(random, s.rows, s.cols, s.bits, s.groups, s.binary, s.zeros).matrix();
    CHECK(w);
    for (Rounding rounding : {Rounding::int8, Rounding::none})
      for (size_t m : {1, 3, 40})
        same_on_all([&](const Kernels& kernels) { return product(**w, kernels, 1, rounding, m); });
  }
}

TEST(products_of_floats_are_those_of_the_reference) {
  Random random(2);
  for (size_t cols : {7, 64, 100}) {
    const Matrix w(random.numbers(45 * cols).data(), 45, cols);
    for (size_t m : {1, 9})
      same_on_all([&](const Kernels& kernels) { return product(w, kernels, 1, Rounding::int8, m); });
  }
}

TEST(threads_change_no_bit) {
  Random random(3);
  const auto w = Weights(random, 640, 256, 4, 2).matrix();
  const Kernels& kernels = isas().back().kernels;
  const FloatMode mode;
  CHECK(same_bits(product(**w, kernels, 3, Rounding::int8, 20), product(**w, kernels, 1, Rounding::int8, 20)));
}

TEST(rows_of_activations_are_those_of_the_reference) {
  for (size_t n : {1, 16, 100, 300}) {
    same_on_all([&](const Kernels& kernels) {
      Random random(n);
      const std::vector<float> x = random.numbers(2 * n, 9.0f), y = random.numbers(2 * n), z = random.numbers(n);
      std::vector<float> out(2 * n);
      kernels.layer_norm({x.data(), y.data(), z.data(), y.data(), out.data(), 2, n, 1e-5f});
      for (Activation kind : {Activation::relu, Activation::swish, Activation::gelu, Activation::tanh}) {
        std::vector<float> values = x;
        kernels.activate(kind, values.data(), values.size());
        out.insert(out.end(), values.begin(), values.end());
      }
      std::vector<float> state(n), maxima((n + 127) / 128), rounded = x;
      kernels.ssru({x.data(), y.data(), z.data(), state.data(), rounded.data(), n});
      kernels.run_max(x.data(), n, maxima.data());
      kernels.round_to_grid(rounded.data(), n, {20.0f, 0.05f, 3.0f, 127.0f});
      std::vector<int8_t> high(n + kTile), low(n + kTile);
      int32_t high_sum, low_sum;
      kernels.grid_codes(
          {x.data(), n, {900.0f, 1.0f / 900, -5.0f, 32512.0f}, high.data(), low.data(), &high_sum, &low_sum});
      for (const auto& codes : {high, low}) out.insert(out.end(), codes.begin(), codes.end());
      for (const auto& values : {state, maxima, rounded}) out.insert(out.end(), values.begin(), values.end());
      out.insert(out.end(), {kernels.exp_sum(x.data(), n, 9.0f), float(high_sum), float(low_sum)});
      return out;
    });
  }
}

TEST(turned_inputs_are_those_of_the_reference) {
  for (size_t rotation : {1, 16, 64, 256}) {
    same_on_all([&](const Kernels& kernels) {
      Random random(rotation);
      const std::vector<float> x = random.numbers(512), factors = random.numbers(512);
      std::vector<float> y(512);
      kernels.operand({x.data(), factors.data(), y.data(), 512, rotation});
      return y;
    });
  }
}

TEST(attention_is_that_of_the_reference) {
  for (size_t length : {1, 5, 16, 50}) {
    same_on_all([&](const Kernels& kernels) {
      Random random(length);
      const size_t heads = 3, size = 20, d = heads * size;
      const std::vector<float> q = random.numbers(length * d), keys = random.numbers(length * 2 * d);
      std::vector<float> out(length * d + d), scores(steps_of(length) * kTile);
      Buffer<float> scratch(self_attention_scratch(length, size));
      const GridGroup grid = {50.0f, 0.02f, 0.0f, 127.0f};
      for (size_t h = 0; h < heads; ++h)
        kernels.self_attention({q.data() + h * size, keys.data() + h * size, keys.data() + length * d + h * size,
                                out.data() + h * size, scratch.data(), length, size, d, 0.2f, h ? &grid : nullptr,
                                h ? &grid : nullptr});
      std::vector<const float*> rows;
      for (size_t t = 0; t < length; ++t) rows.push_back(keys.data() + t * 2 * d);
      kernels.attention(
          {q.data(), rows.data(), 0, d, out.data() + length * d, scores.data(), length, heads, size, 0.2f});
      return out;
    });
  }
}

TEST(compensation_is_that_of_the_reference) {
  same_on_all([&](const Kernels& kernels) {
    Random random(4);
    const size_t rows = 21, cols = 80, levels = 8;
    std::vector<float> gram(cols * cols), spread(cols * cols), borders, values;
    for (size_t i = 0; i < cols; ++i)
      for (size_t j = 0; j < cols; ++j) gram[i * cols + j] = spread[i * cols + j] = i == j ? 3.0f : random.number(0.1f);
    for (size_t k = 0; k < levels; ++k) values.push_back(0.25f * static_cast<float>(k) - 1.0f);
    for (size_t k = 0; k + 1 < levels; ++k) borders.push_back((values[k] + values[k + 1]) / 2);
    std::vector<uint32_t> order(cols);
    for (size_t j = 0; j < cols; ++j) order[j] = static_cast<uint32_t>(cols - 1 - j);
    const std::vector<float> w = random.numbers(rows * cols);
    std::vector<uint8_t> numbers(rows * cols);
    Threads threads(2);
    compensate({w.data(), order.data(), spread.data(), gram.data(), borders.data(), nullptr, values.data(), rows, cols,
                1, levels, 2, true},
               kernels, threads, numbers.data());
    return std::vector<float>(numbers.begin(), numbers.end());
  });
}

TEST(an_unknown_instruction_set_is_a_fault_that_names_what_there_is) {
  const auto kernels = kernels_for("mmx");
  CHECK(!kernels && kernels.fault().text().find("reference") != std::string::npos);
}

}  // namespace subbyte::tests
