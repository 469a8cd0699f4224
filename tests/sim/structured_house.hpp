// The house of the road for calls that ask for JSON of a schema.
#pragma once
#include "gateway/structured.hpp"
#include "road_house.hpp"

namespace ballast::gateway::test {

inline const std::string kSchema = R"({"type":"object","properties":{"name":{"type":"string"},"price":{"type":"number","enum":[2,3]},
  "tags":{"type":"array","items":{"type":"string"},"minItems":1}},"required":["name","price","tags"],"additionalProperties":false})";

// The house's question, asking for the schema in the words of the wire.
struct AskedFor : Asked {
  std::string format = kSchema;
  Call call() {
    Call c = Asked::call();
    const auto put = [&](std::string_view before, const std::string& member) { body.insert(body.rfind(before), member); };
    switch (wire) {
      case Wire::openai_chat: put("}", R"(,"response_format":{"type":"json_schema","json_schema":{"name":"order","schema":)" + format + "}}"); break;
      case Wire::openai_responses: put("}", R"(,"text":{"format":{"type":"json_schema","name":"order","schema":)" + format + "}}"); break;
      case Wire::anthropic_messages: put("}", R"(,"output_config":{"format":{"type":"json_schema","schema":)" + format + "}}"); break;
      case Wire::gemini: put("}}", R"(,"responseMimeType":"application/json","responseJsonSchema":)" + format); break;
    }
    c.body = body;
    return c;
  }
};

inline Options lying(SimFaultKind kind, std::optional<std::uint64_t> first = {}) {
  Options o{.first = {{.kind = kind, .first = first}}};
  o.route.targets = {*target_from("a/m", "t")};
  return o;
}

inline bool fits(std::string_view text) {
  static const auto compiled = *schema::Schema::compile(*parse_json(kSchema));
  const auto value = parse_json(text);
  return value && compiled.valid(*value);
}

}  // namespace ballast::gateway::test
