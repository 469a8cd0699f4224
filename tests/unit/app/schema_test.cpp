// docs/ballast.schema.json, the schema's keys and the parser must say the same.
#include "app/schema.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "app/config.hpp"

namespace ballast::app {
namespace {

std::string read(const std::string& path) {
  std::ifstream in(std::string(BALLAST_SOURCE_DIR) + "/" + path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A file that holds `key` alone, with what is required around it, as flow YAML.
std::string sample(const SchemaKey& key);
std::string object_sample(std::span<const SchemaKey> keys, const SchemaKey* wanted) {
  std::string out = "{";
  for (const auto& key : keys)
    if (key.required || &key == wanted) out += fmt::format("{}{}: {}", out.size() > 1 ? ", " : "", key.name, sample(key));
  return out + "}";
}
std::string sample(const SchemaKey& key) {
  switch (key.form) {
    case Form::object:
    case Form::choice_or_object: return object_sample(key.keys, nullptr);
    case Form::list: return "[" + object_sample(key.keys, nullptr) + "]";
    case Form::list_or_text: return key.name == "targets" ? "[sim/sim-small]" : key.name == "redact" ? "[email]" : "[sk-example-1234567890]";
    case Form::map: return fmt::format("{{{}: {}}}", key.example, object_sample(key.keys, nullptr));
    case Form::map_or_text: return fmt::format("{{{}: {}}}", key.example, object_sample(key.keys, nullptr));
    case Form::map_text: return fmt::format("{{{}: sim/sim-small}}", key.example);
    case Form::texts: return std::string(key.example);
    case Form::choice: return fmt::format("\"{}\"", key.example);
    default: return key.example.starts_with('"') || key.form != Form::text ? std::string(key.example) : fmt::format("\"{}\"", key.example);
  }
}

// Calls `visit(path, wrap)` for every key of every level; `wrap(inner)` puts an object into its place in the file.
using Wrap = std::function<std::string(const std::string&)>;
void walk(std::span<const SchemaKey> keys, const std::string& path, const Wrap& wrap,
          const std::function<void(const std::string&, const SchemaKey&, std::span<const SchemaKey>, const Wrap&)>& visit) {
  for (const auto& key : keys) {
    visit(path + std::string(key.name), key, keys, wrap);
    if (key.keys.empty()) continue;
    const Wrap inner = [&, wrap](const std::string& object) {
      const bool list = key.form == Form::list || key.form == Form::list_or_text;
      const std::string name(key.form == Form::map || key.form == Form::map_or_text ? key.example : std::string_view());
      std::string member = list ? "[" + object + "]" : name.empty() ? object : fmt::format("{{{}: {}}}", name, object);
      std::string around;
      for (const auto& other : keys)
        if (other.required && other.name != key.name) around += fmt::format("{}: {}, ", other.name, sample(other));
      return wrap(fmt::format("{{{}{}: {}}}", around, key.name, member));
    };
    walk(key.keys, path + std::string(key.name) + ".", inner, visit);
  }
}

TEST(Schema, TheParserKnowsEveryKey) {
  int keys = 0;
  walk(config_schema(), "", [](const std::string& object) { return object; },
       [&](const std::string& path, const SchemaKey& key, std::span<const SchemaKey> level, const Wrap& wrap) {
         const std::string text = wrap(object_sample(level, &key));
         const auto config = parse_config_text(text, "t", fixed_environment({}));
         if (!config) EXPECT_EQ(config.error().message.find("is an unknown key"), std::string::npos) << path << "\n" << text << "\n" << config.error().message;
         ++keys;
       });
  EXPECT_GT(keys, 120);
}

TEST(Schema, EveryKeyTheParserAsksForIsInIt) {
  std::set<std::string> known{"uniform", "median", "sigma"};
  walk(config_schema(), "", [](const std::string& o) { return o; },
       [&](const std::string&, const SchemaKey& key, auto, const Wrap&) { known.insert(std::string(key.name)); });
  const std::regex asked(R"re((?:\.|\b)(?:string|integer|boolean|number|duration|size|money|rate|choice|list|strings|get|has|require|map|maybe_\w+|time)\((?:node, |item, )?"(\w+)")re");
  for (const char* file : {"src/app/config.cpp", "src/app/config_policy.cpp", "src/app/config_record.cpp", "src/app/config_providers.cpp", "src/llm/simulator/options.cpp"}) {
    const std::string text = read(file);
    ASSERT_FALSE(text.empty()) << file;
    for (std::sregex_iterator at(text.begin(), text.end(), asked), end; at != end; ++at)
      EXPECT_TRUE(known.contains((*at)[1])) << file << " asks for \"" << (*at)[1] << "\", which schema_keys.cpp does not describe";
  }
}

TEST(Schema, ThePublishedOneIsThisOne) {
  EXPECT_EQ(read("docs/ballast.schema.json"), schema_text()) << "run: make docs";
}

TEST(Schema, IsJson) {
  const auto document = parse_json(schema_text());
  ASSERT_TRUE(document) << document.error().message;
  EXPECT_EQ(document->at("properties").at("listen").at("default"), "127.0.0.1:8080");
  EXPECT_FALSE(document->at("additionalProperties").as_bool());
}

}  // namespace
}  // namespace ballast::app
