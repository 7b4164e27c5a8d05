// Codes of blocks, coded and back, as runs of bytes.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "bindings/python/bindings.hpp"
#include "platform/threads.hpp"
#include "weights/entropy.hpp"

namespace subbyte::bindings {
namespace {

using Bytes = In<uint8_t, 1>;
using Codes = nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Coded = std::tuple<size_t, size_t, size_t, Bytes, Codes>;  // bits, rows, cols, coded bytes, codes to be written

std::optional<Out<uint8_t>> encoded(size_t bits, size_t rows, size_t cols, Bytes codes, size_t threads) {
  require(bits >= 1 && bits <= 8 && rows > 0 && cols > 0, "a block has 1 to 8 bits, rows and columns");
  const CodeShape shape = {bits, rows, cols};
  require(codes.shape(0) == shape.bytes(), "codes: must be all bytes of the block");
  std::vector<uint8_t> bytes;
  {
    nb::gil_scoped_release release;
    Threads pool(threads);
    bytes = encode_codes(shape, codes.data(), pool);
  }
  if (bytes.empty()) return std::nullopt;
  const size_t size = bytes.size();
  return to_numpy(std::move(bytes), {size});
}

std::vector<std::string> decoded(const std::vector<Coded>& given, size_t threads) {
  std::vector<CodedBlock> blocks;
  std::vector<const CodedBlock*> pointers;
  std::vector<uint8_t*> codes;
  for (const auto& [bits, rows, cols, bytes, out] : given) {
    blocks.push_back(made(CodedBlock::of({bits, rows, cols}, bytes.data(), bytes.shape(0))));
    require(out.shape(0) == blocks.back().shape().bytes(), "codes: must be all bytes of the block");
    codes.push_back(out.data());
  }
  for (const CodedBlock& block : blocks) pointers.push_back(&block);
  std::vector<std::string> faults;
  nb::gil_scoped_release release;
  Threads pool(threads);
  for (const Fault& fault : decode_blocks(pointers, codes, pool)) faults.push_back(fault.text());
  return faults;
}

}  // namespace

void define_codes(nb::module_& m) {
  m.def("encode_codes", encoded, "bits"_a, "rows"_a, "cols"_a, "codes"_a, nb::kw_only(), "threads"_a = 1,
        "The bytes of a block's codes, coded; None where that takes no fewer.");
  m.def(
      "coded_fault",
      [](size_t bits, size_t rows, size_t cols, Bytes coded) {
        const auto block = CodedBlock::of({bits, rows, cols}, coded.data(), coded.shape(0));
        return block ? std::string() : block.fault().text();
      },
      "bits"_a, "rows"_a, "cols"_a, "coded"_a,
      "What is wrong with a block's coded bytes, as far as can be seen before they are decoded; empty: nothing.");
  m.def("decode_codes", decoded, "blocks"_a, nb::kw_only(), "threads"_a = 1,
        "Blocks are (bits, rows, cols, coded bytes, bytes of the codes, which are written), each without a fault that "
        "can be seen before. The fault of each in decoding; empty: none.");
}

}  // namespace subbyte::bindings
