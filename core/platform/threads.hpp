// A small pool: the caller takes part, tasks are handed out one by one, results never depend on who did what.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>

namespace subbyte {

class Threads {
 public:
  explicit Threads(size_t count);  // count >= 1, the caller included
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
