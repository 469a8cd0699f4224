// JSON files that a command is given.
#pragma once
#include <fstream>
#include <sstream>
#include <string>

#include "base/json.hpp"

namespace ballast::app {

// Errors name the path as their field.
inline Result<json::value> read_document(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!(file && text << file.rdbuf())) return fail(ErrorCode::caller_not_found, "cannot be read, or is empty", path);
  auto document = parse_json(text.str());
  if (!document) document.error().field = path;
  return document;
}

}  // namespace ballast::app
