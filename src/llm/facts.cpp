#include "llm/facts.hpp"

#include "base/json.hpp"
#include "llm/facts_scan.hpp"

namespace ballast::llm {

FactsReader::FactsReader() : state_(std::make_unique<State>()) {}
FactsReader::~FactsReader() = default;
FactsReader::FactsReader(FactsReader&&) noexcept = default;
FactsReader& FactsReader::operator=(FactsReader&&) noexcept = default;

simdjson::padded_string_view FactsReader::State::padded(std::string_view body, std::size_t readable) {
  static_assert(kJsonPadding >= simdjson::SIMDJSON_PADDING);
  if (readable >= body.size() + kJsonPadding) return simdjson::padded_string_view(body.data(), body.size(), readable);
  constexpr std::size_t keep = 1 << 20;   // after a large body the scratch memory goes back
  if (scratch.capacity() > keep && body.size() < keep / 4) std::string().swap(scratch);
  if (scratch.size() < body.size() + kJsonPadding) scratch.resize(body.size() + kJsonPadding);
  std::memcpy(scratch.data(), body.data(), body.size());
  std::memset(scratch.data() + body.size(), 0, kJsonPadding);
  return simdjson::padded_string_view(scratch.data(), body.size(), body.size() + kJsonPadding);
}

namespace scan {

void read_usage(UsageCounts& counts, Wire wire, od::object usage) {
  std::uint64_t n = 0;
  for (auto field_result : usage) {
    od::field field = checked(field_result);
    const auto key = key_of(field);
    od::value value = field.value();
    if (integer(value, n)) {
      counts.count(wire, {}, key, n);
    } else if (is_object(value)) {
      for (auto inner_result : value.get_object()) {
        od::field inner = checked(inner_result);
        const auto inner_key = key_of(inner);
        od::value v = inner.value();
        if (integer(v, n)) counts.count(wire, key, inner_key, n);
      }
    } else if (names_tier(key) && is_string(value)) {
      counts.served_at(decoded(value));
    } else if (is_array(value) && wire == Wire::gemini) {
      for (auto item_result : value.get_array()) {
        od::value item = item_result.value();
        if (!is_object(item)) continue;
        std::string modality;
        std::uint64_t tokens = 0;
        for (auto inner_result : item.get_object()) {
          od::field inner = checked(inner_result);
          const auto inner_key = key_of(inner);
          od::value v = inner.value();
          if (inner_key == "modality" && is_string(v)) modality = decoded(v);
          else if (inner_key == "tokenCount") integer(v, tokens);
        }
        counts.count(wire, key, modality, tokens);
      }
    }
  }
}

}  // namespace scan

// ---- Splicing --------------------------------------------------------------------------------------------------

namespace {

struct Edit {
  std::uint32_t offset, length;
  std::string text;
};

std::string apply(std::string_view body, std::vector<Edit>& edits) {
  std::ranges::sort(edits, {}, &Edit::offset);
  std::string out;
  std::size_t extra = 0;
  for (const auto& e : edits) extra += e.text.size();
  out.reserve(body.size() + extra + kJsonPadding);
  std::size_t at = 0;
  for (const auto& e : edits) {
    out.append(body.substr(at, e.offset - at)).append(e.text);
    at = e.offset + e.length;
  }
  out.append(body.substr(at));
  return out;
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

// Where the object opens, seen from a range that covers it: right after its brace, with a comma unless it is empty.
Edit insertion_into(std::string_view body, ByteRange object, std::string member) {
  std::size_t i = object.offset + 1;
  while (i < body.size() && static_cast<unsigned char>(body[i]) <= ' ') ++i;
  if (body[i] != '}') member += ',';
  return {object.offset + 1, 0, std::move(member)};
}

void edit_max_tokens(Wire wire, std::string_view body, const RequestFacts& facts, const RequestEdits& edits,
                     std::vector<Edit>& list, std::string& inserted) {
  const auto number = std::to_string(*edits.max_tokens);
  if (facts.max_tokens_value) {
    list.push_back({facts.max_tokens_value.offset, facts.max_tokens_value.length, number});
    return;
  }
  static constexpr std::string_view names[kWires] = {"max_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens"};
  const auto name = edits.max_tokens_name.empty() ? names[static_cast<std::size_t>(wire)] : edits.max_tokens_name;
  const auto member = "\"" + std::string(name) + "\":" + number;
  if (wire != Wire::gemini) {
    inserted += member + ",";
  } else if (facts.generation_config_value) {
    const auto& g = facts.generation_config_value;
    if (body[g.offset] == '{') list.push_back(insertion_into(body, g, member));
    else list.push_back({g.offset, g.length, "{" + member + "}"});
  } else {
    inserted += "\"generationConfig\":{" + member + "},";
  }
}

void edit_include_usage(std::string_view body, const RequestFacts& facts, bool include, std::vector<Edit>& list,
                        std::string& inserted) {
  const std::string_view word = include ? "true" : "false";
  if (facts.include_usage_value) {
    list.push_back({facts.include_usage_value.offset, facts.include_usage_value.length, std::string(word)});
  } else if (facts.stream_options_value) {
    const auto& s = facts.stream_options_value;
    if (body[s.offset] == '{') list.push_back(insertion_into(body, s, "\"include_usage\":" + std::string(word)));
    else list.push_back({s.offset, s.length, "{\"include_usage\":" + std::string(word) + "}"});
  } else if (include) {
    inserted += "\"stream_options\":{\"include_usage\":true},";
  }
}

}  // namespace

std::string splice_request(Wire wire, std::string_view body, const RequestFacts& facts, const RequestEdits& edits) {
  std::vector<Edit> list;
  std::string inserted;
  if (edits.model) {
    if (facts.model_value) list.push_back({facts.model_value.offset, facts.model_value.length, quoted(*edits.model)});
    else if (wire != Wire::gemini) inserted += "\"model\":" + quoted(*edits.model) + ",";
  }
  if (edits.max_tokens) edit_max_tokens(wire, body, facts, edits, list, inserted);
  if (edits.include_usage && wire == Wire::openai_chat) edit_include_usage(body, facts, *edits.include_usage, list, inserted);
  if (edits.stream && wire != Wire::gemini) {
    const std::string_view word = *edits.stream ? "true" : "false";
    if (facts.stream_value) list.push_back({facts.stream_value.offset, facts.stream_value.length, std::string(word)});
    else if (*edits.stream) inserted += "\"stream\":true,";
  }
  if (!inserted.empty()) {
    if (facts.empty_object) inserted.pop_back();
    list.push_back({facts.insert_at, 0, std::move(inserted)});
  }
  return apply(body, list);
}

std::string splice_model(std::string_view body, ByteRange model_value, std::string_view model) {
  if (!model_value) return std::string(body);
  std::vector<Edit> list{{model_value.offset, model_value.length, quoted(model)}};
  return apply(body, list);
}

}  // namespace ballast::llm
