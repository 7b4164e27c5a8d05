// Settings as text: a JSON object of numbers, words, true and false, and lists of token ids or of such lists.
#pragma once
#include <string>

#include "session/settings.hpp"

namespace subbyte {

Result<Settings> settings_of(const std::string& text);

}  // namespace subbyte
