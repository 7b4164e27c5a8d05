#include "platform/cpu.hpp"

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace subbyte {

void no_memory() {
  (void)::operator new(PTRDIFF_MAX);
  std::abort();
}

#if defined(__linux__)
void prefer_large_pages(void* start, size_t bytes) {
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  const uintptr_t address = reinterpret_cast<uintptr_t>(start);
  const uintptr_t first = (address + kPage - 1) / kPage * kPage, last = (address + bytes) / kPage * kPage;
  // A wish: where it is not granted nothing changes.
  if (first < last) (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}
#else
void prefer_large_pages(void*, size_t) {}
#endif

#if defined(__x86_64__)
#if defined(__linux__)
bool cpu_lends_tiles() {
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;  // of leaf 7
  constexpr long kRequest = 0x1023, kTileData = 18;       // ARCH_REQ_XCOMP_PERM
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d & kTile) != 0 && (d & kInt8) != 0 && syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}
#endif

FloatMode::FloatMode() : saved_(_mm_getcsr()) {
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040, kRounding = 0x6000, kMaskAll = 0x1F80;
  _mm_setcsr((static_cast<unsigned>(saved_) & ~kRounding) | kFlushToZero | kDenormalsAreZero | kMaskAll);
}
FloatMode::~FloatMode() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
FloatMode::FloatMode() {
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
  constexpr unsigned long long kFlushToZero = 1ull << 24, kRounding = 3ull << 22;
  __asm__ volatile("msr fpcr, %0" : : "r"((saved_ & ~kRounding) | kFlushToZero));
}
FloatMode::~FloatMode() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
FloatMode::FloatMode() : saved_(0) {}
FloatMode::~FloatMode() = default;
#endif

}  // namespace subbyte
