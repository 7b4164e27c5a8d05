// What the CPU and the operating system allow.
#pragma once
#include <cstddef>

namespace subbyte {

#if defined(__x86_64__) && defined(__linux__)
// Whether the CPU multiplies tiles of int8, and Linux lends their registers, for which it wants to be asked.
bool cpu_lends_tiles();
#endif

// Ends as operator new does where there is no memory: std::bad_alloc, or the process in a build without exceptions.
[[noreturn]] void no_memory();

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
