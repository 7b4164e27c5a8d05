#include "session/settings_text.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace subbyte {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& text) : at_(text.c_str()), end_(at_ + text.size()) {}

  bool object(Settings& settings) {
    if (!take('{')) return false;
    if (next() != '}') {
      do {
        std::string name;
        Settings::Value value;
        if (!word(name) || !take(':') || !any(value)) return false;
        settings.set(name, std::move(value));
      } while (take(','));
    }
    return take('}') && next() == '\0' && at_ == end_;
  }

 private:
  char next() { return *(at_ += std::strspn(at_, " \t\r\n")); }

  bool take(char wanted) {
    if (next() != wanted) return false;
    ++at_;
    return true;
  }

  bool any(Settings::Value& out) {
    switch (next()) {
      case '"': return word(out.emplace<std::string>());
      case '[': return list(out);
      case 't': out = true; return literal("true");
      case 'f': out = false; return literal("false");
      default: return number(out);
    }
  }

  bool literal(const char* wanted) {
    const size_t length = std::strlen(wanted);
    if (std::strncmp(at_, wanted, length)) return false;
    at_ += length;
    return true;
  }

  bool word(std::string& out) {  // nothing that there is to say needs an escape
    if (!take('"')) return false;
    const size_t length = std::strcspn(at_, "\"\\");
    out.assign(at_, length);
    at_ += length;
    return take('"');
  }

  bool number(Settings::Value& out) {
    const size_t length = std::strspn(at_, "+-.eE0123456789"), whole = std::strspn(at_, "-0123456789");
    const std::string text(at_, length);
    char* end = nullptr;
    errno = 0;
    if (whole < length)
      out = std::strtod(text.c_str(), &end);
    else if (text[0] == '-')
      out = static_cast<int64_t>(std::strtoll(text.c_str(), &end, 10));
    else
      out = static_cast<uint64_t>(std::strtoull(text.c_str(), &end, 10));
    at_ += length;
    return length > 0 && end == text.c_str() + length && errno == 0;
  }

  bool list(Settings::Value& out) {
    const char* begin = at_;
    take('[');
    const bool nested = next() == '[';
    at_ = begin;
    if (!nested) return tokens(out.emplace<Settings::Tokens>());
    auto& lists = out.emplace<std::vector<Settings::Tokens>>();
    do {
      ++at_;
      if (!tokens(lists.emplace_back())) return false;
    } while (next() == ',');
    return take(']');
  }

  bool tokens(Settings::Tokens& out) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      Settings::Value value;
      next();
      const uint64_t* token = number(value) ? std::get_if<uint64_t>(&value) : nullptr;
      if (!token || *token > ~uint32_t{0}) return false;
      out.push_back(static_cast<uint32_t>(*token));
    } while (take(','));
    return take(']');
  }

  const char *at_, *end_;
};

}  // namespace

Result<Settings> settings_of(const std::string& text) {
  Settings settings;
  if (!Reader(text).object(settings)) return Fault("settings: are not a JSON object as it should be");
  return settings;
}

}  // namespace subbyte
