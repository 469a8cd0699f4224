// Flows for tests: read, or the test fails with what the reader said.
#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "work/flow.hpp"

namespace ballast::work {

inline Result<std::string> flow_file(std::string_view name) {
  if (name == "ticket.schema.json") return R"({"type":"object","properties":{"name":{"type":"string"},"order":{"type":"string"},"text":{"type":"string"}}})";
  if (name == "prompts/triage.md") return "Sort this: {{ .input.text }}";
  return fail(ErrorCode::caller_not_found, "there is no such file");
}

inline FlowPtr good_flow(std::string_view text, std::map<std::string, std::string> env = {}, std::string file = "f.yaml") {
  auto flow = read_flow(text, std::move(file), fixed_environment(std::move(env)), flow_file);
  EXPECT_TRUE(flow) << (flow ? "" : flow.error().message);
  return flow ? *flow : nullptr;
}

inline std::string golden_flow(std::string_view name) {
  std::ifstream in(fmt::format("{}/tests/golden/flows/{}", BALLAST_SOURCE_DIR, name));
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace ballast::work
