// What every model that is held in memory has in common: calls take turns, and matrices can be watched.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/arena.hpp"
#include "models/tensors.hpp"
#include "platform/cpu.hpp"
#include "platform/threads.hpp"
#include "session/settings.hpp"
#include "weights/ops.hpp"

namespace subbyte {

// isa: a name of isas(), or "best". activations: how inputs of products are rounded, "int8" or "float32".
Result<Runtime> runtime_of(const std::string& isa, size_t threads, const std::string& activations);
Result<Rounding> rounding_of(const std::string& activations);
Result<Activation> activation_of(const std::string& name);

// How activation functions are called; in the settings of models too.
constexpr std::initializer_list<std::pair<const char*, Activation>> kActivations = {
    {"relu", Activation::relu}, {"swish", Activation::swish}, {"silu", Activation::swish},
    {"gelu", Activation::gelu}, {"tanh", Activation::tanh},
};

using Ids = std::vector<std::vector<uint32_t>>;

// Values [rows, cols].
struct Table {
  std::vector<float> values;
  size_t rows, cols;
};

class Session {
 public:
  const char* isa() const { return ops_.kernels().isa; }
  size_t threads() const { return ops_.threads().count(); }

 protected:
  Session(Ops& ops, const Tensors& tensors) : ops_(ops), matrices_(tensors.matrices) {}

  // f() as the only call, with numbers as kernels want them.
  template <class F>
  auto alone(const F& f) {
    const Turn turn(mutex_);
    const FloatMode mode;
    return f();
  }

  // The rows that each of these matrices multiplies while f() runs alone, in the order in which they come.
  template <class F>
  Result<std::vector<Table>> watched(const std::vector<std::string>& names, const F& f) {
    Seen seen;
    for (const std::string& name : names) {
      if (!matrices_.count(name)) return Fault(name + ": no such matrix");
      if (!seen.emplace(matrices_[name].get(), std::vector<float>()).second) return Fault(name + ": asked for twice");
    }
    alone([&] {
      const Watch watch(ops_, seen);
      f();
    });
    std::vector<Table> tables;
    for (const std::string& name : names) {
      std::vector<float>& values = seen[matrices_[name].get()];
      const size_t cols = matrices_[name]->cols(), rows = values.size() / cols;
      tables.push_back({std::move(values), rows, cols});
    }
    return tables;
  }

  size_t matrix_bytes() const;  // resident; tied ones once

 private:
  Ops& ops_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<const Matrix>> matrices_;
};

}  // namespace subbyte
