// Python sees arrays and names; nothing here computes. Every shape is checked before a pointer is used.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <mutex>

#include "cpu.hpp"
#include "dispatch.hpp"
#include "layout.hpp"
#include "models/beam.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace subbyte;

namespace {

template <typename T, int dims>
using In = nb::ndarray<const T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<nb::numpy, float>;

void require(bool ok, const std::string& what) {
  if (!ok) throw std::invalid_argument(what);
}

Out to_numpy(std::vector<float> values, std::vector<size_t> shape) {
  auto* owned = new std::vector<float>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  return Out(owned->data(), shape.size(), shape.data(), owner);
}

// A block as Python gives it: (bits, codes, scale, levels, alphas, zero), the fields of model.py's Block with the scale
// as float32. Holds the arrays while a matrix is made of them.
struct BlockArrays {
  std::vector<nb::object> alive;

  template <typename Array>
  Array take(nb::handle value) {
    Array array = nb::cast<Array>(value);
    alive.push_back(nb::cast(array));
    return array;
  }

  BlockSource source(const nb::tuple& block, size_t cols, size_t groups) {
    require(block.size() == 6, "a block is (bits, codes, scale, levels, alphas, zero)");
    BlockSource s;
    s.bits = nb::cast<size_t>(block[0]);
    require(s.bits >= 1 && s.bits <= 8, "bits: must be 1 to 8");
    if (s.bits == 8) {
      const auto codes = take<In<int8_t, 2>>(block[1]);
      require(codes.shape(1) == cols, "codes: must be [rows, cols]");
      s.rows = codes.shape(0);
      s.bytes = codes.data();
    } else {
      const auto codes = take<In<uint8_t, 3>>(block[1]);
      require(codes.shape(0) == s.bits && codes.shape(2) == (cols + 7) / 8,
              "codes: must be [bits, rows, ceil(cols / 8)]");
      s.rows = codes.shape(1);
      s.planes = codes.data();
    }
    const auto scale = take<In<float, 2>>(block[2]);
    s.per_tensor = scale.shape(0) == 1 && scale.shape(1) == 1;
    const auto fits = [&](size_t rows, size_t columns) {
      return s.per_tensor ? rows == 1 && columns == 1 : rows == s.rows && columns == groups;
    };
    require(fits(scale.shape(0), scale.shape(1)), "scale: must be [rows, groups] or [1, 1]");
    s.scale = scale.data();
    if (!block[3].is_none()) {
      const auto levels = take<In<int8_t, 1>>(block[3]);
      require(s.bits < 8 && levels.shape(0) == size_t{1} << s.bits, "levels: must be [2^bits], below 8 bits");
      s.levels = levels.data();
    }
    if (!block[4].is_none()) {
      const auto alphas = take<In<uint8_t, 3>>(block[4]);
      require(s.bits <= 4 && fits(alphas.shape(0), alphas.shape(1)) && alphas.shape(2) == s.bits,
              "alphas: must be [rows, groups, bits] or [1, 1, bits], at most 4 bits");
      s.alphas = alphas.data();
    }
    require(s.bits == 8 || (s.levels != nullptr) != (s.alphas != nullptr),
            "a block below 8 bits has either levels or alphas");
    require(s.bits < 8 || !s.alphas, "8 bits have no alphas");
    if (!block[5].is_none()) {
      const auto zero = take<In<int8_t, 2>>(block[5]);
      require(fits(zero.shape(0), zero.shape(1)), "zero: must be [rows, groups] or [1, 1]");
      s.zero = zero.data();
    }
    return s;
  }
};

std::shared_ptr<Matrix> packed_matrix(size_t rows, size_t cols, size_t group_size,
                                      const std::vector<nb::object>& blocks, std::optional<In<uint8_t, 1>> cluster) {
  require(rows > 0 && cols > 0 && cols <= 65536 && group_size > 0, "a matrix needs 1 to 65,536 columns, and rows");
  require(cols % group_size == 0 && (group_size == cols || group_size % kTile == 0),
          "group_size: must divide the columns and be a multiple of 16, or be all columns");
  require(cluster.has_value() == (blocks.size() > 1), "cluster: needed with several blocks, and only then");
  BlockArrays arrays;
  std::vector<BlockSource> sources;
  size_t total = 0;
  for (const nb::object& block : blocks) {
    sources.push_back(arrays.source(nb::cast<nb::tuple>(block), cols, cols / group_size));
    total += sources.back().rows;
  }
  require(total == rows, "blocks: their rows must add up to the matrix's");
  require(!cluster || cluster->shape(0) == rows, "cluster: must be [rows]");
  const uint8_t* cluster_of_row = cluster ? cluster->data() : nullptr;
  nb::gil_scoped_release release;
  return std::make_shared<Matrix>(rows, cols, group_size, sources, cluster_of_row);
}

Activation activation_of(const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "swish" || name == "silu") return Activation::swish;
  if (name == "gelu") return Activation::gelu;
  throw std::invalid_argument("activation_function \"" + name + "\" is not supported; relu, swish and gelu are");
}

Positions positions_of(const std::string& name) {
  if (name == "transformers") return Positions::transformers;
  if (name == "marian") return Positions::marian;
  throw std::invalid_argument("positions: must be transformers or marian, not \"" + name + "\"");
}

Rounding rounding_of(const std::string& activations) {
  if (activations == "int8") return Rounding::int8;
  if (activations == "float32") return Rounding::none;
  throw std::invalid_argument("activations: must be int8 or float32, not \"" + activations + "\"");
}

// A model and its working memory. One call at a time; others wait without holding the interpreter.
class MarianSession {
 public:
  MarianSession(const MarianConfig& config, const Tensors& tensors, const std::string& isa, size_t threads,
                Rounding rounding)
      : model_(config, tensors, kernels_for(isa), threads, rounding) {
    for (const auto& [name, matrix] : tensors.matrices) matrices_[matrix.get()] = matrix->bytes();
    source_vocabulary_ = tensors.matrices.at("model.encoder.embed_tokens.weight")->rows();
  }

  std::vector<std::vector<Hypothesis>> translate(const std::vector<std::vector<uint32_t>>& sentences,
                                                 const SearchOptions& options) {
    check(sentences);
    const size_t vocabulary = model_.config().vocabulary;
    require(options.max_length >= 2 && options.max_length <= model_.config().max_positions + 1,
            "max_length: must be 2 to " + std::to_string(model_.config().max_positions + 1));
    require(options.beam_size >= 1 && options.beam_size <= 256 && options.num_hypotheses >= 1 &&
                options.num_hypotheses <= options.beam_size,
            "beam_size must be 1 to 256 and num_hypotheses at most beam_size");
    require(
        options.start < vocabulary && options.end < vocabulary && options.forced_end < static_cast<int64_t>(vocabulary),
        "special tokens must be below the vocabulary size");
    for (uint32_t token : options.banned)
      require(token < vocabulary, "banned tokens must be below the vocabulary size");
    nb::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(mutex_);
    FloatMode mode;
    return search(model_, sentences, options, memory_, cache_);
  }

  std::vector<std::vector<float>> score(const std::vector<std::vector<uint32_t>>& sentences,
                                        const std::vector<std::vector<uint32_t>>& targets, uint32_t start) {
    check(sentences);
    require(targets.size() == sentences.size(), "there must be as many targets as sentences");
    require(start < model_.config().vocabulary, "the start token is out of the vocabulary");
    for (const auto& target : targets) check_target(target);
    nb::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(mutex_);
    FloatMode mode;
    return subbyte::score(model_, sentences, targets, start, memory_, cache_);
  }

  // Logits of every position of `target` (which begins with the start token), forced.
  Out logits(const std::vector<uint32_t>& source, const std::vector<uint32_t>& target) {
    check({source});
    const size_t vocabulary = model_.config().vocabulary;
    check_target(target);
    std::vector<float> all(target.size() * vocabulary);
    {
      nb::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(mutex_);
      FloatMode mode;
      model_.encode({source}, memory_);
      cache_.start(1);
      for (size_t t = 0; t < target.size(); ++t) {
        const float* logits = model_.step({target[t]}, {0}, t, memory_, cache_);
        std::copy(logits, logits + vocabulary, all.begin() + static_cast<ptrdiff_t>(t * vocabulary));
      }
    }
    return to_numpy(std::move(all), {target.size(), vocabulary});
  }

  std::string isa() { return model_.ops().kernels().isa; }
  size_t threads() { return model_.ops().threads().count(); }
  size_t weight_bytes() const {
    size_t total = 0;
    for (const auto& [matrix, bytes] : matrices_) total += bytes;
    return total;
  }

 private:
  void check(const std::vector<std::vector<uint32_t>>& sentences) const {
    for (const auto& sentence : sentences) {
      require(!sentence.empty() && sentence.size() <= model_.config().max_positions,
              "a sentence must have 1 to " + std::to_string(model_.config().max_positions) + " tokens");
      for (uint32_t token : sentence) require(token < source_vocabulary_, "a token is out of the source vocabulary");
    }
  }

  void check_target(const std::vector<uint32_t>& target) const {
    require(!target.empty() && target.size() <= model_.config().max_positions,
            "a target must have 1 to " + std::to_string(model_.config().max_positions) + " tokens");
    for (uint32_t token : target)
      require(token < model_.config().vocabulary, "a token is out of the target vocabulary");
  }

  Marian model_;
  Memory memory_;
  Cache cache_;
  std::mutex mutex_;
  size_t source_vocabulary_;
  std::map<const Matrix*, size_t> matrices_;  // tied ones once
};

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "The C++ engine: matrices, kernels, models. Use subbyte.engine.";

  m.def(
      "isas",
      [] {
        std::vector<std::pair<std::string, bool>> list;
        for (const Isa& isa : isas()) list.emplace_back(isa.kernels->isa, isa.supported());
        return list;
      },
      "Instruction sets compiled in, best first, and whether this machine runs each.");

  m.def(
      "few_inputs", [](const std::string& isa) { return kernels_for(isa).few_inputs; }, "isa"_a,
      "Up to so many inputs, int8 products unpack codes in registers; above, once a block into the cache.");

  nb::class_<Matrix>(m, "Matrix", "A weight matrix laid out for the kernels.")
      .def_static(
          "dense", [](In<float, 2> w) { return std::make_shared<Matrix>(w.data(), w.shape(0), w.shape(1)); },
          "weights"_a, "Float32 weights [rows, cols].")
      .def_static("packed", packed_matrix, "rows"_a, "cols"_a, "group_size"_a, "blocks"_a,
                  "cluster"_a.none() = nb::none(),
                  "Low-bit weights; blocks are (bits, codes, scale, levels, alphas, zero) of model.Block.")
      .def_prop_ro("bytes", &Matrix::bytes, "Resident bytes.")
      .def(
          "rows",
          [](const Matrix& w, std::vector<size_t> rows) {
            std::vector<float> out(rows.size() * w.cols());
            for (size_t i = 0; i < rows.size(); ++i) {
              require(rows[i] < w.rows(), "a row is out of range");
              w.row(rows[i], out.data() + i * w.cols());
            }
            return to_numpy(std::move(out), {rows.size(), w.cols()});
          },
          "rows"_a, "Rows as float32 [n, cols]: the embedding look-up.");

  m.def(
      "linear",
      [](const Matrix& w, In<float, 2> x, std::optional<In<float, 1>> bias, const std::string& isa,
         const std::string& activations, size_t threads) {
        require(x.shape(1) == w.cols(), "x: must be [m, cols]");
        require(!bias || bias->shape(0) == w.rows(), "bias: must be [rows]");
        Ops ops(kernels_for(isa), threads, rounding_of(activations));
        std::vector<float> y(x.shape(0) * w.rows());
        FloatMode mode;
        Inputs inputs = {x.data(), x.shape(0), x.shape(1)};
        ops.linear(w, inputs, bias ? bias->data() : nullptr, y.data(), w.rows());
        return to_numpy(std::move(y), {x.shape(0), w.rows()});
      },
      "weights"_a, "x"_a, "bias"_a.none() = nb::none(), nb::kw_only(), "isa"_a = "best", "activations"_a = "int8",
      "threads"_a = 1, "x [m, cols] times the transposed weights, plus bias: [m, rows].");

  m.def(
      "layer_norm",
      [](In<float, 2> x, std::optional<In<float, 2>> residual, In<float, 1> gamma, In<float, 1> beta, float eps,
         const std::string& isa) {
        const size_t n = x.shape(1);
        require(gamma.shape(0) == n && beta.shape(0) == n, "gamma and beta: must be [n]");
        require(!residual || (residual->shape(0) == x.shape(0) && residual->shape(1) == n), "residual: must be [m, n]");
        std::vector<float> y(x.shape(0) * n);
        FloatMode mode;
        kernels_for(isa).layer_norm(
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
        kernels_for(isa).attention({q.data(), rows.data(), 0, y.data(), scores.data(), length, heads, width / heads,
                                    1.0f / std::sqrt(static_cast<float>(width / heads))});
        return to_numpy(std::move(y), {width});
      },
      "q"_a, "key_values"_a, "heads"_a, nb::kw_only(), "isa"_a = "best",
      "Softmax attention of one query [width] over keys and values [length, 2 * width].");

  m.def(
      "ssru",
      [](In<float, 1> forget, In<float, 1> input, std::optional<In<float, 1>> previous, const std::string& isa) {
        const size_t n = forget.shape(0);
        require(input.shape(0) == n && (!previous || previous->shape(0) == n),
                "forget, input and previous: must be [n]");
        std::vector<float> state(n), y(n);
        FloatMode mode;
        kernels_for(isa).ssru(
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
        kernels_for(isa).activate(activation_of(kind), y.data(), y.size());
        return to_numpy(std::move(y), {x.shape(0)});
      },
      "kind"_a, "x"_a, nb::kw_only(), "isa"_a = "best");

  m.def(
      "log_sum_exp_parts",
      [](In<float, 1> x, const std::string& isa) {
        require(x.shape(0) > 0, "x: must not be empty");
        const Kernels& kernels = kernels_for(isa);
        std::vector<float> maxima((x.shape(0) + 127) / 128);
        FloatMode mode;
        kernels.run_max(x.data(), x.shape(0), maxima.data());
        const float max = *std::max_element(maxima.begin(), maxima.end());
        const float sum = kernels.exp_sum(x.data(), x.shape(0), max);
        const size_t runs = maxima.size();
        return std::make_pair(to_numpy(std::move(maxima), {runs}), sum);
      },
      "x"_a, nb::kw_only(), "isa"_a = "best", "Maxima of runs of 128, and the sum of exp(x - max).");

  nb::class_<MarianSession>(m, "Marian", "A MarianMT model ready to run.")
      .def(
          "__init__",
          [](MarianSession* self, size_t d_model, size_t encoder_layers, size_t decoder_layers, size_t encoder_heads,
             size_t decoder_heads, size_t max_positions, size_t vocabulary, float embedding_scale, float norm_epsilon,
             const std::string& activation_function, const std::string& positions, bool recurrent, bool zero_start,
             const std::map<std::string, std::shared_ptr<Matrix>>& matrices,
             const std::map<std::string, In<float, 1>>& vectors, const std::string& isa, size_t threads,
             const std::string& activations) {
            require(d_model > 0 && encoder_heads > 0 && decoder_heads > 0 && d_model % encoder_heads == 0 &&
                        d_model % decoder_heads == 0 && max_positions > 0 && max_positions <= 65536,
                    "d_model must be divisible by the heads, and max_positions 1 to 65,536");
            Tensors tensors;
            for (const auto& [name, matrix] : matrices) tensors.matrices[name] = matrix;
            for (const auto& [name, array] : vectors)
              tensors.vectors[name].assign(array.data(), array.data() + array.shape(0));
            const MarianConfig config = {d_model,
                                         encoder_layers,
                                         decoder_layers,
                                         encoder_heads,
                                         decoder_heads,
                                         max_positions,
                                         vocabulary,
                                         embedding_scale,
                                         norm_epsilon,
                                         activation_of(activation_function),
                                         positions_of(positions),
                                         recurrent,
                                         zero_start};
            new (self) MarianSession(config, tensors, isa, threads, rounding_of(activations));
          },
          nb::kw_only(), "d_model"_a, "encoder_layers"_a, "decoder_layers"_a, "encoder_heads"_a, "decoder_heads"_a,
          "max_positions"_a, "vocabulary"_a, "embedding_scale"_a, "norm_epsilon"_a, "activation_function"_a,
          "positions"_a, "recurrent"_a, "zero_start"_a, "matrices"_a, "vectors"_a, "isa"_a, "threads"_a,
          "activations"_a)
      .def(
          "translate",
          [](MarianSession& self, const std::vector<std::vector<uint32_t>>& sentences, size_t beam_size,
             size_t num_hypotheses, size_t max_length, size_t min_length, float length_penalty, bool early_stopping,
             bool renormalize, int64_t forced_end, uint32_t start, uint32_t end, const std::vector<uint32_t>& banned) {
            std::vector<std::vector<std::pair<std::vector<uint32_t>, float>>> out;
            for (auto& hypotheses :
                 self.translate(sentences, {beam_size, num_hypotheses, max_length, min_length, length_penalty,
                                            early_stopping, renormalize, forced_end, start, end, banned})) {
              out.emplace_back();
              for (Hypothesis& h : hypotheses) out.back().emplace_back(std::move(h.tokens), h.score);
            }
            return out;
          },
          "sentences"_a, nb::kw_only(), "beam_size"_a, "num_hypotheses"_a, "max_length"_a, "min_length"_a,
          "length_penalty"_a, "early_stopping"_a, "renormalize"_a, "forced_end"_a, "start"_a, "end"_a, "banned"_a,
          "Hypotheses (tokens, score) of every sentence, best first.")
      .def("score", &MarianSession::score, "sentences"_a, "targets"_a, "start"_a,
           "Log-probability of every token of each target, forced.")
      .def("logits", &MarianSession::logits, "source"_a, "target"_a,
           "Logits [len(target), vocabulary] with the target forced; it begins with the start token.")
      .def_prop_ro("isa", &MarianSession::isa)
      .def_prop_ro("threads", &MarianSession::threads)
      .def_prop_ro("weight_bytes", &MarianSession::weight_bytes, "Resident bytes of the matrices, tied ones once.");
}
