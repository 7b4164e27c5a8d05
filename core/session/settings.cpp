#include "session/settings.hpp"

namespace subbyte {

const Settings::Value* Settings::taken(const char* name) {
  const auto found = values_.find(name);
  read_[name] = true;
  if (found != values_.end()) return &found->second;
  note(std::string(name) + ": is not given");
  return nullptr;
}

void Settings::note(std::string text) {
  if (!fault_) fault_ = Fault(std::move(text));
}

Fault Settings::fault() const {
  if (fault_) return fault_;
  for (const auto& [name, value] : values_)
    if (!read_.count(name)) return Fault(name + ": there is no such setting");
  return {};
}

}  // namespace subbyte
