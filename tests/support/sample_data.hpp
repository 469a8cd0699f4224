// The sample databases of BALLAST_SHARED_DATA/text-to-sql, their datasets (tests/data/query) and the intents written for their questions.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "query/dataset.hpp"

namespace ballast::test {

inline const std::string kSamples = std::string(BALLAST_SHARED_DATA) + "/text-to-sql";
inline const std::string kQueryData = std::string(BALLAST_SOURCE_DIR) + "/tests/data/query";

inline std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

inline std::vector<json::value> json_lines(const std::string& path) {
  std::vector<json::value> out;
  std::istringstream text(file_text(path));
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) out.push_back(parse_json(line).value());
  return out;
}

inline bool samples_present() { return std::filesystem::exists(kSamples + "/questions.jsonl"); }

// All of them, by name; read once.
inline const query::Datasets& sample_datasets() {
  static const query::Datasets all = [] {
    auto loaded = query::load_datasets(kQueryData, fixed_environment({{"BALLAST_SHARED_DATA", BALLAST_SHARED_DATA}}));
    if (!loaded) throw std::runtime_error(describe(loaded.error()));
    return std::move(*loaded);
  }();
  return all;
}

// id → intent.
inline const std::map<std::string, json::value>& sample_intents() {
  static const std::map<std::string, json::value> all = [] {
    std::map<std::string, json::value> out;
    for (const auto& line : json_lines(std::string(BALLAST_SOURCE_DIR) + "/tests/golden/query/intents.jsonl"))
      out.emplace(std::string(line.at("id").as_string()), line.at("intent"));
    return out;
  }();
  return all;
}

}  // namespace ballast::test
