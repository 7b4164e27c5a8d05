// Tests without a library: TEST(name) { CHECK(what must hold); }. The program runs all of them, or those whose names
// begin with its argument.
#pragma once
#include <cstdio>
#include <vector>

namespace subbyte::tests {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& all() {
  static std::vector<Test> list;
  return list;
}

inline int failures = 0;

inline bool add(const char* name, void (*run)()) {
  all().push_back({name, run});
  return true;
}

inline void check(bool holds, const char* what, const char* file, int line) {
  if (holds) return;
  ++failures;
  std::printf("%s:%d: this does not hold: %s\n", file, line, what);
}

}  // namespace subbyte::tests

#define TEST(name)                                                          \
  static void test_##name();                                                \
  static const bool added_##name = subbyte::tests::add(#name, test_##name); \
  static void test_##name()

#define CHECK(...) subbyte::tests::check(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)
