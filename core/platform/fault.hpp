// Faults are values: a core that is built without exceptions (WebAssembly) gives them back like any other.
#pragma once
#include <string>
#include <utility>
#include <variant>

namespace subbyte {

// What is wrong, in a sentence for whoever asked. Empty: nothing is.
class [[nodiscard]] Fault {
 public:
  Fault() = default;
  explicit Fault(std::string text) : text_(std::move(text)) {}

  explicit operator bool() const { return !text_.empty(); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What was asked for, or what is wrong.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : made_(std::move(value)) {}
  Result(Fault fault) : made_(std::move(fault)) {}

  explicit operator bool() const { return std::holds_alternative<T>(made_); }
  const Fault& fault() const { return *std::get_if<Fault>(&made_); }
  T& operator*() { return *std::get_if<T>(&made_); }
  const T& operator*() const { return *std::get_if<T>(&made_); }
  T* operator->() { return std::get_if<T>(&made_); }
  const T* operator->() const { return std::get_if<T>(&made_); }

 private:
  std::variant<T, Fault> made_;
};

}  // namespace subbyte
