// What goes into a matrix comes out of it, and what does not fit is a fault.
#include "tests/check.hpp"
#include "tests/random.hpp"
#include "weights/grid.hpp"
#include "weights/ops.hpp"
#include "weights/static_product.hpp"

namespace subbyte::tests {

TEST(rows_come_back_as_they_were_packed) {
  Random random(1);
  for (size_t bits = 1; bits <= 8; ++bits) {
    for (bool binary : {false, true}) {
      if (binary && bits > 4) continue;
      const Weights given(random, 37, 96, bits, 3, binary, true);
      const auto matrix = given.matrix();
      CHECK(matrix);
      std::vector<float> row(given.cols), expected(given.cols);
      for (size_t r = 0; r < given.rows; ++r) {
        (*matrix)->row(r, row.data());
        for (size_t c = 0; c < given.cols; ++c) expected[c] = given.value(r, c);
        CHECK(same_bits(row, expected));
      }
    }
  }
}

TEST(rows_of_clusters_come_back_in_their_places) {
  Random random(2);
  const Weights two(random, 3, 32, 2, 1), eight(random, 2, 32, 8, 1);
  const uint8_t cluster[] = {0, 1, 0, 1, 0};
  const auto matrix = Matrix::packed(5, 32, 32, {two.source(), eight.source()}, cluster);
  CHECK(matrix);
  std::vector<float> row(32);
  (*matrix)->row(3, row.data());
  CHECK(row[7] == eight.value(1, 7));
  (*matrix)->row(4, row.data());
  CHECK(row[7] == two.value(2, 7));
}

TEST(clusters_that_mean_the_same_run_as_one) {
  Random random(4);
  for (size_t bits : {3, 4, 6, 8}) {
    const Weights first(random, 3, 32, bits, 2, false, true), other(random, 2, 32, bits, 2, false, true);
    BlockSource second = other.source();
    second.levels = first.source().levels;  // the codes of `other` in the levels of `first`
    const uint8_t cluster[] = {0, 1, 0, 1, 0};
    const auto matrix = Matrix::packed(5, 32, 16, {first.source(), second}, cluster);
    const auto alone = Matrix::packed(2, 32, 16, {second}, nullptr);
    CHECK(matrix && alone);
    CHECK((*matrix)->parts().size() == 1 && (*matrix)->parts()[0].outputs == nullptr);
    std::vector<float> row(32), expected(32);
    for (size_t r = 0; r < 5; ++r) {
      (*matrix)->row(r, row.data());
      if (r % 2) (*alone)->row(r / 2, expected.data());
      for (size_t c = 0; c < 32 && r % 2 == 0; ++c) expected[c] = first.value(r / 2, c);
      CHECK(same_bits(row, expected));
    }
  }
}

// One row of six has levels beyond -8..7; alone, and beside a cluster of other rows.
TEST(rows_of_small_levels_become_narrow) {
  Random random(5);
  for (size_t cols : {40, 96, 272}) {
    const size_t groups = cols == 96 ? 3 : 1, rows = 205;
    Weights given(random, rows, cols, 8, groups, false, true), other(random, 30, cols, 3, groups, false, true);
    std::vector<uint8_t> cluster(rows + other.rows);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) given.bytes[r * cols + c] = static_cast<int8_t>(random.below(16)) - 8;
      for (size_t c = 0; c < cols / 8 && r % 6 == 0; ++c) given.bytes[r * cols + (r * 7 + c) % cols] = r % 2 ? 8 : -9;
    }
    for (size_t r = 0; r < other.rows; ++r) cluster[r * 5] = 1;
    const auto alone = given.matrix();
    const auto both =
        Matrix::packed(rows + other.rows, cols, cols / groups, {given.source(), other.source()}, cluster.data());
    CHECK(alone && both);
    const auto shape = [](const Matrix& matrix) {
      std::vector<std::pair<int, size_t>> found;
      for (const Matrix::Part& part : matrix.parts()) found.emplace_back(part.packed.width, part.packed.rows);
      return found;
    };
    CHECK((shape(**alone) == std::vector<std::pair<int, size_t>>{{4, 205}, {8, 35}}));
    CHECK((shape(**both) == std::vector<std::pair<int, size_t>>{{3, 30}, {4, 205}, {8, 35}}));
    std::vector<float> row(cols), expected(cols);
    for (size_t r = 0, in[2] = {}; r < rows + other.rows; ++r) {
      const Weights& from = cluster[r] ? other : given;
      const size_t at = in[cluster[r]]++;
      for (size_t c = 0; c < cols; ++c) expected[c] = from.value(at, c);
      (*both)->row(r, row.data());
      CHECK(same_bits(row, expected));
      if (cluster[r]) continue;
      (*alone)->row(at, row.data());
      CHECK(same_bits(row, expected));
    }

    // What two of the rows multiply out to where they stay as they are: one of them is not narrow.
    Ops ops(**kernels_for("reference"), 1, Rounding::int8);
    const size_t m = 3;
    const std::vector<float> x = random.numbers(m * cols, 3.0f);
    std::vector<float> y(m * rows), two(m * 2);
    Inputs inputs{x.data(), m, cols};
    ops.linear(**alone, inputs, nullptr, y.data(), rows);
    for (size_t first = 0; first + 2 <= rows; first += 12) {
      BlockSource source = given.source();
      source.rows = 2;
      source.bytes += first * cols;
      source.scale += first * groups;
      source.zero += first * groups;
      const auto few = Matrix::packed(2, cols, cols / groups, {source}, nullptr);
      CHECK(few && shape(**few).front().first == 8);
      Inputs again{x.data(), m, cols};
      ops.linear(**few, again, nullptr, two.data(), 2);
      for (size_t i = 0; i < m; ++i)
        for (size_t r = 0; r < 2; ++r) CHECK(y[i * rows + first + r] == two[i * 2 + r]);
    }
  }
}

TEST(rows_become_narrow_where_that_is_enough_for_most) {
  Random random(6);
  const size_t cols = 128;
  const auto widths = [&](size_t rows, size_t narrow, size_t beyond = 8) {
    Weights given(random, rows, cols, 8, 1);
    for (size_t i = 0; i < rows * cols; ++i) given.bytes[i] = static_cast<int8_t>(i % 16) - 8;
    for (size_t r = narrow; r < rows; ++r) std::fill_n(given.bytes.data() + r * cols, beyond, int8_t{100});
    const auto matrix = given.matrix();
    std::vector<int> found;
    for (const Matrix::Part& part : (*matrix)->parts()) {
      found.push_back(part.packed.width);
      CHECK((part.outputs == nullptr) == (found.size() == 1));  // the first block has all rows
    }
    return std::pair{found, (*matrix)->bytes()};
  };
  CHECK((widths(80, 80).first == std::vector<int>{4}));
  CHECK((widths(5, 5).first == std::vector<int>{4}));
  CHECK((widths(80, 63).first == std::vector<int>{8}));
  CHECK((widths(80, 64).first == std::vector<int>{4, 8}));
  CHECK((widths(800, 639).first == std::vector<int>{8}));
  CHECK((widths(800, 640).first == std::vector<int>{4, 8}));
  const size_t all = widths(800, 0).second;
  CHECK(all - widths(800, 720).second >= 800 * cols / 2 - 80 * (cols + 8) - 4 * 64);
  CHECK((widths(800, 0, 1).first == std::vector<int>{4}));  // one level of 128 beyond is an exception
  CHECK(all - widths(800, 0, 1).second >= 800 * (cols / 2 - sizeof(Exception)) - 4 * 64);
  CHECK((widths(800, 0, 2).first == std::vector<int>{8}));
}

TEST(what_is_no_matrix_is_a_fault) {
  Random random(3);
  const Weights w(random, 4, 32, 2, 1), other(random, 1, 32, 2, 1);
  const auto fault = [&](size_t rows, size_t cols, size_t group_size, std::vector<BlockSource> blocks,
                         const uint8_t* cluster = nullptr) {
    auto made = Matrix::packed(rows, cols, group_size, blocks, cluster);
    return made ? std::string() : made.fault().text();
  };
  const uint8_t cluster[] = {0, 0, 0, 0, 9}, wrong[] = {0, 0, 0, 1, 1};
  BlockSource bare = w.source(), nine = w.source();
  bare.levels = nullptr;
  nine.bits = 9;
  CHECK(fault(4, 32, 32, {w.source()}).empty());
  CHECK(!fault(0, 32, 32, {w.source()}).empty());
  CHECK(!fault(4, 32, 0, {w.source()}).empty());
  CHECK(!fault(4, 32, 8, {w.source()}).empty());
  CHECK(!fault(5, 32, 32, {w.source()}).empty());
  CHECK(!fault(4, 32, 32, {bare}).empty());
  CHECK(!fault(4, 32, 32, {nine}).empty());
  CHECK(!fault(5, 32, 32, {w.source(), other.source()}).empty());
  CHECK(!fault(5, 32, 32, {w.source(), other.source()}, cluster).empty());
  CHECK(!fault(5, 32, 32, {w.source(), other.source()}, wrong).empty());
}

TEST(a_grid_that_does_not_fit_is_a_fault) {
  Random random(4);
  const auto w = Weights(random, 4, 48, 4, 1).matrix();
  const auto two = grid_of("x", 8, {0.1f, 0.2f}, {0.0f, 1.0f}, 127.0f), one = grid_of("x", 8, {0.1f}, {3.0f}, 127.0f);
  CHECK(two && one);
  CHECK(StaticProduct::of(**w, {}, *one));
  CHECK(!StaticProduct::of(**w, {}, *two));
  CHECK(!grid_of("x", 8, {0.1f}, {}, 127.0f));
  CHECK(!grid_of("x", 8, {0.1f}, {0.0f}, 128.0f));
}

}  // namespace subbyte::tests
