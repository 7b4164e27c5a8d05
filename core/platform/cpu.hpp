// What the CPU and the operating system allow.
#pragma once
#include <cstddef>

namespace subbyte {

bool cpu_has_avx2();
bool cpu_has_avx512_vnni();
bool cpu_has_amx();  // asks the operating system for it

// Ask for large pages behind fresh memory, where the system has them: fewer faults at first touch.
void prefer_large_pages(void* start, size_t bytes);

// Denormals are zero and rounding is to nearest while this lives, so that every thread computes alike.
class FloatMode {
 public:
  FloatMode();
  ~FloatMode();
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  unsigned long long saved_;
};

}  // namespace subbyte
