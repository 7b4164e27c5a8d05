#include <cstring>

#include "kernels/dispatch.hpp"
#include "tests/check.hpp"

int main(int count, char** arguments) {
  using namespace subbyte;
  for (const Isa& isa : isas()) std::printf("%s: %s\n", isa.name, isa.runs ? "runs here" : "cannot run here");
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a test that ends the program has been named
  int run = 0;
  for (const tests::Test& test : tests::all()) {
    if (count > 1 && std::strncmp(test.name, arguments[1], std::strlen(arguments[1]))) continue;
    std::printf("%s\n", test.name);
    test.run();
    ++run;
  }
  std::printf("%d tests, %d failures\n", run, tests::failures);
  return run == 0 || tests::failures > 0;
}
