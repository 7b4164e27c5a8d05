// Settings by name, as an embedder gives them: a model's, and those of a search.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "platform/fault.hpp"

namespace subbyte {

// The thing of that name among those there are, which the fault names.
template <class T>
using Named = std::initializer_list<std::pair<const char*, T>>;

template <class T>
Result<T> by_name(const std::string& what, const std::string& name, Named<T> things) {
  std::string known;
  for (const auto& [known_name, thing] : things) {
    if (name == known_name) return thing;
    known += (known.empty() ? "" : known_name == (things.end() - 1)->first ? " or " : ", ") + std::string(known_name);
  }
  return Fault(what + ": must be " + known + ", not \"" + name + "\"");
}

class Settings {
 public:
  using Tokens = std::vector<uint32_t>;
  // Whole numbers are unsigned where they can be.
  using Value = std::variant<bool, int64_t, uint64_t, double, std::string, Tokens, std::vector<Tokens>>;

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }

  // Puts what was given into `to`, which stays as it is if that is missing or of another kind: see `fault`.
  template <class T>
  void read(const char* name, T& to) {
    const Value* value = taken(name);
    if (value && !convert(*value, to)) note(std::string(name) + ": is not the kind of value that it should be");
  }
  template <class T>
  void read(const char* name, T& to, Named<T> things) {
    std::string given;
    read(name, given);
    if (fault_) return;
    auto found = by_name(name, given, things);
    found ? void(to = *found) : note(found.fault().text());
  }

  // The first thing that was wrong: a setting that is missing or of another kind, or one that nobody has read.
  Fault fault() const;

 private:
  const Value* taken(const char* name);
  void note(std::string text);

  template <class T>
  static bool convert(const Value& value, T& to) {
    if constexpr (std::is_same_v<T, bool> || !std::is_arithmetic_v<T>) {
      const T* same = std::get_if<T>(&value);
      if (same) to = *same;
      return same != nullptr || value == Value(Tokens());  // an empty list may be one of anything
    } else {
      const auto put = [&](auto number) {
        to = static_cast<T>(number);
        return std::is_floating_point_v<T> || static_cast<decltype(number)>(to) == number;
      };
      if (const auto* whole = std::get_if<uint64_t>(&value)) return put(*whole) && !(to < T{});
      if (const auto* below = std::get_if<int64_t>(&value)) return std::is_signed_v<T> && put(*below);
      const auto* number = std::get_if<double>(&value);
      return std::is_floating_point_v<T> && number && put(*number);
    }
  }

  std::map<std::string, Value> values_;
  std::map<std::string, bool> read_;
  Fault fault_;
};

}  // namespace subbyte
