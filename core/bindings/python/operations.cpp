// Single operations by instruction set, so that tests can hold each against the reference.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>

#include "bindings/python/bindings.hpp"
#include "kernels/layout.hpp"
#include "platform/cpu.hpp"
#include "session/session.hpp"
#include "weights/compensation.hpp"
#include "weights/screen.hpp"

namespace subbyte::bindings {

void define_operations(nb::module_& m) {
  m.def(
      "linear",
      [](const Matrix& w, In<float, 2> x, std::optional<In<float, 1>> bias, const std::string& isa,
         const std::string& activations, size_t threads) {
        require(x.shape(1) == w.cols(), "x: must be [m, cols]");
        require(!bias || bias->shape(0) == w.rows(), "bias: must be [rows]");
        Ops ops(kernels_of(isa), threads, made(rounding_of(activations)));
        std::vector<float> y(x.shape(0) * w.rows());
        FloatMode mode;
        Inputs inputs = {x.data(), x.shape(0), x.shape(1)};
        ops.linear(w, inputs, bias ? bias->data() : nullptr, y.data(), w.rows());
        return to_numpy(std::move(y), {x.shape(0), w.rows()});
      },
      "weights"_a, "x"_a, "bias"_a.none() = nb::none(), nb::kw_only(), "isa"_a = "best", "activations"_a = "int8",
      "threads"_a = 1, "x [m, cols] times the transposed weights, plus bias: [m, rows].");

  m.def(
      "greatest",
      [](const Matrix& w, In<float, 2> x, In<float, 1> bias, const std::vector<uint32_t>& banned,
         const std::string& isa, size_t threads) -> std::optional<std::pair<std::vector<uint32_t>, size_t>> {
        require(x.shape(1) == w.cols(), "x: must be [m, cols]");
        require(bias.shape(0) == w.rows(), "bias: must be [rows]");
        for (uint32_t output : banned) require(output < w.rows(), "banned: must be rows");
        Ops ops(kernels_of(isa), threads, Rounding::int8);
        FloatMode mode;
        Inputs inputs = {x.data(), x.shape(0), x.shape(1)};
        std::vector<float> added(bias.data(), bias.data() + bias.shape(0));
        const std::unique_ptr<Screen> screen = Screen::of(w, added);
        std::vector<uint32_t> outputs;
        if (!screen || !screen->greatest(ops, inputs, banned, outputs)) return std::nullopt;
        return std::make_pair(std::move(outputs), screen->candidates());
      },
      "weights"_a, "x"_a, "bias"_a, "banned"_a, nb::kw_only(), "isa"_a = "best", "threads"_a = 1,
      "By a screen, for each x: the row with the greatest product, not banned (2^32 - 1 for none); and the rows read "
      "for the last x. None if there is no screen, or it does not know.");

  m.def(
      "layer_norm",
      [](In<float, 2> x, std::optional<In<float, 2>> residual, In<float, 1> gamma, In<float, 1> beta, float eps,
         const std::string& isa) {
        const size_t n = x.shape(1);
        require(gamma.shape(0) == n && beta.shape(0) == n, "gamma and beta: must be [n]");
        require(!residual || (residual->shape(0) == x.shape(0) && residual->shape(1) == n), "residual: must be [m, n]");
        std::vector<float> y(x.shape(0) * n);
        FloatMode mode;
        kernels_of(isa).layer_norm(
            {x.data(), residual ? residual->data() : nullptr, gamma.data(), beta.data(), y.data(), x.shape(0), n, eps});
        return to_numpy(std::move(y), {x.shape(0), n});
      },
      "x"_a, "residual"_a.none(), "gamma"_a, "beta"_a, "eps"_a = 1e-5f, nb::kw_only(), "isa"_a = "best");

  m.def(
      "attention",
      [](In<float, 1> q, In<float, 2> key_values, size_t heads, const std::string& isa) {
        const size_t width = q.shape(0), length = key_values.shape(0);
        require(heads > 0 && width % heads == 0 && key_values.shape(1) == 2 * width && length > 0,
                "key_values: must be [length, 2 * width], width divisible by heads");
        std::vector<const float*> rows;
        for (size_t t = 0; t < length; ++t) rows.push_back(key_values.data() + t * 2 * width);
        std::vector<float> y(width), scores(steps_of(length) * kTile);
        FloatMode mode;
        kernels_of(isa).attention({q.data(), rows.data(), 0, width, y.data(), scores.data(), length, heads,
                                   width / heads, 1.0f / std::sqrt(static_cast<float>(width / heads))});
        return to_numpy(std::move(y), {width});
      },
      "q"_a, "key_values"_a, "heads"_a, nb::kw_only(), "isa"_a = "best",
      "Softmax attention of one query [width] over keys and values [length, 2 * width].");

  m.def(
      "self_attention",
      [](In<float, 2> q, In<float, 2> key, In<float, 2> value, size_t heads, const std::optional<GridArrays>& scores,
         const std::optional<GridArrays>& probabilities, const std::string& isa) {
        const size_t length = q.shape(0), width = q.shape(1);
        require(heads > 0 && width > 0 && width % heads == 0 && length > 0, "q: must be [length, width], by heads");
        for (const auto* x : {&key, &value})
          require(x->shape(0) == length && x->shape(1) == width, "key and value: must be as q");
        const size_t size = width / heads;
        std::optional<Grid> on_scores, on_probabilities;
        if (scores) on_scores = grid_of("scores", *scores);
        if (probabilities) on_probabilities = grid_of("probabilities", *probabilities);
        std::vector<float> y(length * width);
        Buffer<float> scratch(self_attention_scratch(length, size));
        FloatMode mode;
        for (size_t at = 0; at < width; at += size)
          kernels_of(isa).self_attention(
              {q.data() + at, key.data() + at, value.data() + at, y.data() + at, scratch.data(), length, size, width,
               1.0f / std::sqrt(static_cast<float>(size)), on_scores ? &on_scores->groups[0] : nullptr,
               on_probabilities ? &on_probabilities->groups[0] : nullptr});
        return to_numpy(std::move(y), {length, width});
      },
      "q"_a, "key"_a, "value"_a, "heads"_a, "scores"_a.none() = nb::none(), "probabilities"_a.none() = nb::none(),
      nb::kw_only(), "isa"_a = "best",
      "Softmax attention of all positions [length, width] over each other; scores and probabilities on grids.");

  m.def(
      "round_to_grid",
      [](In<float, 2> x, const GridArrays& grid, const std::string& isa) {
        Grid made = grid_of("grid", grid);
        require(x.shape(1) % made.groups.size() == 0, "x: must be [m, n], n divisible by the groups of the grid");
        std::vector<float> y(x.data(), x.data() + x.shape(0) * x.shape(1));
        FloatMode mode;
        if (made.groups.size() > 1) made.spread(x.shape(1));
        Ops(kernels_of(isa), 1, Rounding::int8).round(made, x.shape(0), x.shape(1), y.data());
        return to_numpy(std::move(y), {x.shape(0), x.shape(1)});
      },
      "x"_a, "grid"_a, nb::kw_only(), "isa"_a = "best", "What the codes of x [m, n] stand for.");

  m.def(
      "grid_codes",
      [](In<float, 1> x, const GridArrays& grid, const std::string& isa) {
        Grid made = grid_of("grid", grid);
        require(made.groups.size() == 1, "grid: must have one group");
        const size_t n = x.shape(0), padded = steps_of(n) * kTile;
        std::vector<int8_t> high(padded, 1), low(padded, made.wide() ? 1 : 0);
        int32_t high_sum = 0, low_sum = 0;
        FloatMode mode;
        kernels_of(isa).grid_codes({x.data(), n, made.groups[0], high.data(), made.wide() ? low.data() : nullptr,
                                    &high_sum, made.wide() ? &low_sum : nullptr});
        const auto floats = [&](const std::vector<int8_t>& codes) {
          return to_numpy(std::vector<float>(codes.begin(), codes.end()), {padded});
        };
        return std::make_tuple(floats(high), floats(low), high_sum, low_sum);
      },
      "x"_a, "grid"_a, nb::kw_only(), "isa"_a = "best",
      "The codes of x [n], padded to a multiple of 16: high and low (code = 255 * high + low at 16 bits, else high), "
      "and the sums of both.");

  m.def(
      "operand",
      [](In<float, 2> x, std::optional<In<float, 1>> factors, size_t rotation, const std::string& isa) {
        const size_t n = x.shape(1);
        require(!factors || factors->shape(0) == n, "factors: must be [n]");
        require(is_rotation(rotation) && n % rotation == 0,
                "rotation: must be 1, 16, 32, 64, 128 or 256, and divide n");
        FloatMode mode;
        Ops ops(kernels_of(isa), 1, Rounding::int8);
        Inputs inputs = {x.data(), x.shape(0), n, factors ? factors->data() : nullptr, rotation};
        ops.settle(inputs);
        return to_numpy(std::vector<float>(inputs.x, inputs.x + x.shape(0) * n), {x.shape(0), n});
      },
      "x"_a, "factors"_a.none(), "rotation"_a, nb::kw_only(), "isa"_a = "best",
      "x [m, n] times factors [n], turned in blocks of `rotation` columns by a Hadamard matrix that keeps lengths.");

  m.def(
      "ssru",
      [](In<float, 1> forget, In<float, 1> input, std::optional<In<float, 1>> previous, const std::string& isa) {
        const size_t n = forget.shape(0);
        require(input.shape(0) == n && (!previous || previous->shape(0) == n),
                "forget, input and previous: must be [n]");
        std::vector<float> state(n), y(n);
        FloatMode mode;
        kernels_of(isa).ssru(
            {forget.data(), input.data(), previous ? previous->data() : nullptr, state.data(), y.data(), n});
        return std::make_pair(to_numpy(std::move(state), {n}), to_numpy(std::move(y), {n}));
      },
      "forget"_a, "input"_a, "previous"_a.none(), nb::kw_only(), "isa"_a = "best",
      "One step of an SSRU: the new state, and its positive part.");

  m.def(
      "activate",
      [](const std::string& kind, In<float, 1> x, const std::string& isa) {
        std::vector<float> y(x.data(), x.data() + x.shape(0));
        FloatMode mode;
        kernels_of(isa).activate(made(activation_of(kind)), y.data(), y.size());
        return to_numpy(std::move(y), {x.shape(0)});
      },
      "kind"_a, "x"_a, nb::kw_only(), "isa"_a = "best");

  m.def(
      "log_sum_exp_parts",
      [](In<float, 1> x, const std::string& isa) {
        require(x.shape(0) > 0, "x: must not be empty");
        const Kernels& kernels = kernels_of(isa);
        std::vector<float> maxima((x.shape(0) + kRun - 1) / kRun);
        FloatMode mode;
        kernels.run_max(x.data(), x.shape(0), maxima.data());
        const float max = *std::max_element(maxima.begin(), maxima.end());
        const float sum = kernels.exp_sum(x.data(), x.shape(0), max);
        return std::make_pair(to_numpy(maxima, {maxima.size()}), sum);
      },
      "x"_a, nb::kw_only(), "isa"_a = "best", "Maxima of runs of 128, and the sum of exp(x - max).");

  m.def(
      "compensate",
      [](In<float, 2> w, In<uint32_t, 1> order, In<float, 2> spread, In<float, 2> gram, In<float, 3> borders,
         In<float, 3> values, size_t sweeps, std::optional<In<float, 3>> shift, const std::string& isa,
         size_t threads) {
        const size_t rows = w.shape(0), cols = w.shape(1), groups = values.shape(1), levels = values.shape(2);
        const bool per_tensor = values.shape(0) == 1;
        require(rows > 0 && cols > 0 && order.shape(0) == cols, "order: must be [cols]");
        std::vector<bool> seen(cols);
        for (size_t j = 0; j < cols; ++j) {
          require(order.data()[j] < cols && !seen[order.data()[j]], "order: must have every column once");
          seen[order.data()[j]] = true;
        }
        for (const auto* square : {&spread, &gram})
          require(square->shape(0) == cols && square->shape(1) == cols, "spread and gram: must be [cols, cols]");
        require(
            (per_tensor || values.shape(0) == rows) && groups > 0 && cols % groups == 0 && levels > 1 && levels <= 256,
            "values: must be [rows or 1, groups, levels], 2 to 256 of them");
        require(borders.shape(0) == values.shape(0) && borders.shape(1) == groups && borders.shape(2) == levels - 1,
                "borders: must be one fewer than values");
        require(!shift ||
                    (shift->shape(0) == borders.shape(0) && shift->shape(1) == groups && shift->shape(2) == levels - 1),
                "shift: must be one for each border");
        const Kernels& kernels = kernels_of(isa);
        std::vector<uint8_t> numbers(rows * cols);
        {
          nb::gil_scoped_release release;
          FloatMode mode;
          Threads pool(threads);
          compensate({w.data(), order.data(), spread.data(), gram.data(), borders.data(),
                      shift ? shift->data() : nullptr, values.data(), rows, cols, groups, levels, sweeps, per_tensor},
                     kernels, pool, numbers.data());
        }
        return to_numpy(std::move(numbers), {rows, cols});
      },
      "w"_a, "order"_a, "spread"_a, "gram"_a, "borders"_a, "values"_a, "sweeps"_a, nb::kw_only(),
      "shift"_a = nb::none(), "isa"_a = "best", "threads"_a = 1,
      "The number of the level that each weight [rows, cols] goes to, so that outputs stay; spread and gram are in the "
      "order of rounding, borders and values [rows or 1, groups, levels]; shift, as borders: what the bits of levels "
      "move these by, for an output that weighs 1.");
}

}  // namespace subbyte::bindings
