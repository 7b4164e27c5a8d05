// Settings are read by name, and each one that is missing, odd or unknown is named.
#include "session/settings.hpp"

#include "session/settings_text.hpp"
#include "tests/check.hpp"

namespace subbyte::tests {

TEST(settings_are_read_by_name) {
  Settings settings = *settings_of(
      R"( {"size": 3, "below": -1, "factor": 2, "small": 1e-5, "on": true, "kind": "b", "ids": [1, 2], "none": [],
           "lists": [[1, 2], [3]], "seed": 18446744073709551615} )");
  size_t size = 0;
  int64_t below = 0;
  float factor = 0, small = 0;
  bool on = false;
  char kind = 'a';
  Settings::Tokens ids;
  std::vector<Settings::Tokens> lists, none;
  uint64_t seed = 0;
  settings.read("size", size);
  settings.read("below", below);
  settings.read("factor", factor);
  settings.read("small", small);
  settings.read("on", on);
  settings.read("kind", kind, {{"a", 'a'}, {"b", 'b'}});
  settings.read("ids", ids);
  settings.read("none", none);
  settings.read("lists", lists);
  CHECK(settings.fault().text().find("seed") == 0);
  settings.read("seed", seed);
  CHECK(!settings.fault());
  CHECK(size == 3 && below == -1 && factor == 2 && small == 1e-5f && on && kind == 'b' && seed == ~uint64_t{0});
  CHECK(ids.size() == 2 && ids[1] == 2 && none.empty() && lists.size() == 2 && lists[1][0] == 3);
}

TEST(a_setting_that_is_wrong_is_named) {
  const auto fault = [](const char* text, const auto& read) {
    Settings settings = *settings_of(text);
    read(settings);
    return settings.fault().text();
  };
  const auto size = [](Settings& settings) {
    size_t to = 0;
    settings.read("n", to);
  };
  const auto token = [](Settings& settings) {
    uint32_t to = 0;
    settings.read("n", to);
  };
  CHECK(fault(R"({"n": 1})", size).empty());
  for (const char* text : {"{}", R"({"n": -1})", R"({"n": 1.5})", R"({"n": true})", R"({"n": "1"})", R"({"n": [1]})"})
    CHECK(fault(text, size).find("n: ") == 0);
  CHECK(fault(R"({"n": 1, "m": 2})", size) == "m: there is no such setting");
  CHECK(!fault(R"({"n": 4294967296})", token).empty());
  const auto kind = [](Settings& settings) {
    int to = 0;
    settings.read("n", to, {{"one", 1}, {"two", 2}, {"three", 3}});
  };
  CHECK(fault(R"({"n": "four"})", kind) == "n: must be one, two or three, not \"four\"");
}

TEST(text_that_is_no_object_is_a_fault) {
  for (const char* text : {"", "{", "[]", "{\"a\"}", "{\"a\": }", "{\"a\": 1,}", "{\"a\": 1} x", "{\"a\": tru}",
                           "{\"a\": -}", "{\"a\": [1,]}", "{\"a\": [[1], 2]}", "{\"a\": [-1]}",
                           "{\"a\": 99999999999999999999}", "{\"a\": \"x}", "{\"a\": 1e999}"})
    CHECK(!settings_of(text));
}

}  // namespace subbyte::tests
