// A small pool: the caller takes part, tasks are handed out one by one, results never depend on who did what. In a
// build without threads the caller does it all.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#if defined(SUBBYTE_THREADS)
#include <mutex>
#endif

namespace subbyte {

// Who shares something takes turns: a Turn is over when its scope is.
#if defined(SUBBYTE_THREADS)
using Mutex = std::mutex;
using Turn = std::lock_guard<std::mutex>;
#else
struct Mutex {};
struct Turn {
  explicit Turn(Mutex&) {}
};
#endif

class Threads {
 public:
  explicit Threads(size_t count);  // the caller included; at least 1
  ~Threads();

  size_t count() const { return count_; }

  // Runs task(i, worker) for i in [0, tasks); worker in [0, count) is distinct among tasks running at the same time.
  // Not to be called from two threads at once.
  void run(size_t tasks, const std::function<void(size_t task, size_t worker)>& task);

 private:
  struct Pool;
  size_t count_;
  std::shared_ptr<Pool> pool_;  // made at the first use, and again after a fork
};

}  // namespace subbyte
