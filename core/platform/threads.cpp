#include "platform/threads.hpp"

#if defined(SUBBYTE_THREADS)
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <thread>
#include <vector>

#include "platform/cpu.hpp"
#endif

namespace subbyte {

#if defined(SUBBYTE_THREADS)
namespace {
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
}  // namespace

// One decoding step hands out dozens of jobs, microseconds apart, so workers spin for a while before they sleep.
struct Threads::Pool {
  explicit Pool(size_t count) : owner(getpid()) {
    for (size_t worker = 1; worker < count; ++worker) threads.emplace_back([this, worker] { work(worker); });
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stopping = true;
      ++job;
    }
    wake.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  void work(size_t worker) {
    FloatMode mode;
    size_t seen = 0;
    for (;;) {
      for (int spins = 0; job.load(std::memory_order_acquire) == seen && spins < 4000; ++spins) pause();
      if (job.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        wake.wait(lock, [&] { return job.load(std::memory_order_acquire) != seen; });
      }
      seen = job.load(std::memory_order_acquire);
      if (stopping) return;
      take(worker);
      busy.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void take(size_t worker) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) (*task)(i, worker);
  }

  void run(size_t n, const std::function<void(size_t, size_t)>& f) {
    tasks = n;
    task = &f;
    next.store(0, std::memory_order_relaxed);
    busy.store(threads.size(), std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex);
      job.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
    take(0);
    for (int spins = 0; busy.load(std::memory_order_acquire) > 0; ++spins) {
      if (spins < 4000)
        pause();
      else
        std::this_thread::yield();
    }
  }

  const pid_t owner;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<size_t> job{0}, next{0}, busy{0};
  size_t tasks = 0;
  const std::function<void(size_t, size_t)>* task = nullptr;
  bool stopping = false;
};

Threads::Threads(size_t count) : count_(count ? count : 1) {}

Threads::~Threads() {
  // A pool of the parent process has no threads here to join: it is left alone.
  if (pool_ && pool_->owner != getpid()) new std::shared_ptr<Pool>(pool_);
}
#else
struct Threads::Pool {};

Threads::Threads(size_t) : count_(1) {}
Threads::~Threads() = default;
#endif

void Threads::run(size_t tasks, const std::function<void(size_t, size_t)>& task) {
#if defined(SUBBYTE_THREADS)
  if (count_ > 1 && tasks > 1) {
    if (pool_ && pool_->owner != getpid()) new std::shared_ptr<Pool>(std::move(pool_));
    if (!pool_) pool_ = std::make_shared<Pool>(count_);
    return pool_->run(tasks, task);
  }
#endif
  for (size_t i = 0; i < tasks; ++i) task(i, 0);
}

}  // namespace subbyte
