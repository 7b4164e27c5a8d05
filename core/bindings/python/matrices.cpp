// Weight matrices, from the arrays of numbers/packed.py.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/python/bindings.hpp"
#include "weights/weights.hpp"

namespace subbyte::bindings {
namespace {

// A block as Python gives it: (bits, codes, scale, levels, alphas, zero), the fields of numbers/packed.py's Block with
// the scale as float32. Holds the arrays while a matrix is made of them.
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
  const Fault fault = Matrix::fault_of(rows, cols, group_size);
  require(!fault, fault.text());
  require(!cluster || cluster->shape(0) == rows, "cluster: must be [rows]");
  BlockArrays arrays;
  std::vector<BlockSource> sources;
  for (const nb::object& block : blocks)
    sources.push_back(arrays.source(nb::cast<nb::tuple>(block), cols, cols / group_size));
  const uint8_t* cluster_of_row = cluster ? cluster->data() : nullptr;
  nb::gil_scoped_release release;
  return made(Matrix::packed(rows, cols, group_size, sources, cluster_of_row));
}

}  // namespace

void define_matrices(nb::module_& m) {
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
}

}  // namespace subbyte::bindings
