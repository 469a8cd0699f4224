// Replies and stream events, read without a document: usage, finish, model, how much content.
#include "base/text.hpp"
#include "llm/facts_scan.hpp"
#include "llm/wire/common.hpp"

namespace ballast::llm {

namespace {

using namespace scan;

// Decoded length of a string's raw content: escapes are few, so counting them is cheap.
std::uint64_t decoded_bytes(std::string_view raw) {
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < raw.size(); ++n) {
    const auto* back = static_cast<const char*>(std::memchr(raw.data() + i, '\\', raw.size() - i));
    if (back == nullptr) return n + (raw.size() - i);
    const auto plain = static_cast<std::size_t>(back - raw.data()) - i;
    n += plain;
    i += plain;
    if (i + 1 < raw.size() && raw[i + 1] == 'u') {
      unsigned code = 0;
      for (std::size_t k = i + 2; k < std::min(i + 6, raw.size()); ++k) {
        const char c = raw[k];
        code = code * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
      }
      i += 6;
      n += code < 0x80 ? 0 : code < 0x800 ? 1 : (code >= 0xD800 && code < 0xE000) ? 1 : 2;
    } else {
      i += 2;
    }
  }
  return n;
}

// What one reply or one event adds up to, whatever its wire. The wires nest the same few members differently.
struct Tally {
  Wire wire;
  const char* base;
  UsageCounts counts;
  std::string id, model, raw_finish, block_reason, status, incomplete, type, item_type;
  ByteRange model_value;
  std::uint64_t text = 0, reasoning = 0, arguments = 0;
  std::uint32_t calls = 0;
  bool error = false, has_choices = false, empty_choices = false, tool_delta = false, legacy_call = false, usage_null = false;

  void model_of(od::value& v) {
    if (!is_string(v) || model_value) return;
    model_value = range_of(base, token(v));
    model = decoded(v);
  }
  void usage_of(od::value& v) { if (is_object(v)) read_usage(counts, wire, v.get_object()); }
  void add_text(od::value& v) { if (is_string(v)) text += decoded_bytes(raw_string(v)); }
  void add_reasoning(od::value& v) { if (is_string(v)) reasoning += decoded_bytes(raw_string(v)); }
  void add_arguments(od::value& v) { arguments += raw_json(v).size(); }
  template <class F>
  static void each(od::object object, F&& f) {
    for (auto result : object) {
      od::field field = checked(result);
      const auto key = key_of(field);
      od::value value = field.value();
      f(key, value);
    }
  }
  template <class F>
  static void members(od::value& v, F&& f) { if (is_object(v)) each(v.get_object(), f); }
  template <class F>
  static void items(od::value& v, F&& f) {
    if (!is_array(v)) return;
    for (auto result : v.get_array()) {
      od::value item = result.value();
      f(item);
    }
  }

  void root(od::object object);
  void chat_choice(od::value& choice, bool first);
  void chat_message(od::value& message);
  void chat_calls(od::value& list);
  void response_item(od::value& item);
  void response(od::value& response);
  void response_member(std::string_view key, od::value& v);
  void anthropic_block(od::value& block);
  void anthropic_delta(od::value& delta);
  void anthropic_message(od::value& message);
  void anthropic_member(std::string_view key, od::value& v);
  void gemini_candidate(od::value& candidate, bool first);
  void gemini_member(std::string_view key, od::value& v);
  void chat_member(std::string_view key, od::value& v);
  FinishReason finish() const;
};

void Tally::root(od::object object) {
  each(object, [&](std::string_view key, od::value& v) {
    if (key == "error" && !is_null(v)) error = true;
    else if (key == "service_tier" && is_string(v)) counts.served_at(decoded(v));
    else if (wire == Wire::openai_chat) chat_member(key, v);
    else if (wire == Wire::openai_responses) response_member(key, v);
    else if (wire == Wire::anthropic_messages) anthropic_member(key, v);
    else gemini_member(key, v);
  });
}

void Tally::chat_member(std::string_view key, od::value& v) {
  if (key == "model") model_of(v);
  else if (key == "id" && is_string(v)) id = decoded(v);
  else if (key == "usage") { usage_null = is_null(v); usage_of(v); }
  else if (key == "x_groq") members(v, [&](std::string_view k, od::value& inner) { if (k == "usage") usage_of(inner); });
  else if (key == "choices") {
    std::size_t n = 0;
    items(v, [&](od::value& choice) { chat_choice(choice, n++ == 0); });
    has_choices = n > 0;
    empty_choices = n == 0 && is_array(v);
  }
}

void Tally::chat_choice(od::value& choice, bool first) {
  bool delta = false;
  members(choice, [&](std::string_view key, od::value& v) {
    // Some providers send the message so far beside each delta: only one of them counts.
    if (key == "delta") { if (!delta) { text = reasoning = 0; } delta = true; chat_message(v); }
    else if (key == "message" && !delta) chat_message(v);
    else if (key == "finish_reason" && is_string(v) && (first || raw_finish.empty())) raw_finish = decoded(v);
  });
}

void Tally::chat_message(od::value& message) {
  bool reasoned = false;
  members(message, [&](std::string_view key, od::value& v) {
    if (key == "content" && is_string(v)) add_text(v);
    else if (key == "content") items(v, [&](od::value& part) {
      members(part, [&](std::string_view k, od::value& t) {
        if (k == "text") add_text(t);
        else if (k == "thinking") items(t, [&](od::value& inner) {
          members(inner, [&](std::string_view kk, od::value& tt) { if (kk == "text") add_reasoning(tt); });
        });
      });
    });
    else if (key == "refusal") add_text(v);
    else if ((key == "reasoning_content" || key == "reasoning") && is_string(v) && !reasoned) {
      add_reasoning(v);
      reasoned = true;
    }
    else if (key == "tool_calls") chat_calls(v);
    else if (key == "function_call" && is_object(v)) { ++calls; tool_delta = true; add_arguments(v); }
  });
}

void Tally::chat_calls(od::value& list) {
  items(list, [&](od::value& call) {
    ++calls;
    tool_delta = true;
    members(call, [&](std::string_view key, od::value& v) {
      if (key == "function") members(v, [&](std::string_view k, od::value& a) { if (k == "arguments") add_arguments(a); });
    });
  });
}

void Tally::response_member(std::string_view key, od::value& v) {
  if (key == "type" && is_string(v)) type = decoded(v);
  else if (key == "response") response(v);
  else if (key == "item") response_item(v);
  else if (key == "delta" && is_string(v)) {
    if (type == "response.output_text.delta" || type == "response.refusal.delta") add_text(v);
    else if (type.starts_with("response.reasoning")) add_reasoning(v);
    else if (type == "response.function_call_arguments.delta" || type == "response.custom_tool_call_input.delta")
      tool_delta = true, add_arguments(v);
  }
  else if (key == "model") model_of(v);
  else if (key == "id" && is_string(v)) id = decoded(v);
  else if (key == "usage") usage_of(v);
  else if (key == "status" && is_string(v)) status = decoded(v);
  else if (key == "incomplete_details") members(v, [&](std::string_view k, od::value& r) { if (k == "reason" && is_string(r)) incomplete = decoded(r); });
  else if (key == "output") items(v, [&](od::value& item) { response_item(item); });
}

void Tally::response(od::value& response) {
  members(response, [&](std::string_view key, od::value& v) {
    if (key == "error" && !is_null(v)) error = true;
    else if (key == "service_tier" && is_string(v)) counts.served_at(decoded(v));
    else if (key != "type" && key != "response") response_member(key, v);
  });
}

void Tally::response_item(od::value& item) {
  bool call = false;
  members(item, [&](std::string_view key, od::value& v) {
    if (key == "type" && is_string(v)) {
      item_type = decoded(v);
      if (item_type == "function_call" || item_type == "custom_tool_call") call = true;
    }
    else if (key == "content") items(v, [&](od::value& part) {
      members(part, [&](std::string_view k, od::value& t) { if (k == "text" || k == "refusal") add_text(t); });
    });
    else if (key == "summary") items(v, [&](od::value& part) {
      members(part, [&](std::string_view k, od::value& t) { if (k == "text") add_reasoning(t); });
    });
    else if (key == "arguments") add_arguments(v);
  });
  if (call) ++calls;
}

void Tally::anthropic_member(std::string_view key, od::value& v) {
  if (key == "type" && is_string(v)) { type = decoded(v); if (type == "error") error = true; }
  else if (key == "message") members(v, [&](std::string_view k, od::value& m) { if (k != "type" && k != "message") anthropic_member(k, m); });
  else if (key == "delta") anthropic_delta(v);
  else if (key == "content_block") anthropic_block(v);
  else if (key == "content") items(v, [&](od::value& block) { anthropic_block(block); });
  else if (key == "model") model_of(v);
  else if (key == "id" && is_string(v)) id = decoded(v);
  else if (key == "usage") usage_of(v);
  else if (key == "stop_reason" && is_string(v)) raw_finish = decoded(v);
}

void Tally::anthropic_block(od::value& block) {
  bool call = false;
  members(block, [&](std::string_view key, od::value& v) {
    if (key == "type" && is_string(v)) call = raw_string(v) == "tool_use";
    else if (key == "text") add_text(v);
    else if (key == "thinking") add_reasoning(v);
    else if (key == "input") add_arguments(v);
  });
  if (call) ++calls, tool_delta = true;
}

void Tally::anthropic_delta(od::value& delta) {
  members(delta, [&](std::string_view key, od::value& v) {
    if (key == "text") add_text(v);
    else if (key == "thinking") add_reasoning(v);
    else if (key == "partial_json") tool_delta = true, add_arguments(v);
    else if (key == "stop_reason" && is_string(v)) raw_finish = decoded(v);
  });
}

void Tally::gemini_member(std::string_view key, od::value& v) {
  if (key == "modelVersion") model_of(v);
  else if (key == "responseId" && is_string(v)) id = decoded(v);
  else if (key == "usageMetadata") usage_of(v);
  else if (key == "promptFeedback") members(v, [&](std::string_view k, od::value& r) { if (k == "blockReason" && is_string(r)) block_reason = decoded(r); });
  else if (key == "candidates") {
    std::size_t n = 0;
    items(v, [&](od::value& candidate) { gemini_candidate(candidate, n++ == 0); });
    has_choices = n > 0;
  }
}

void Tally::gemini_candidate(od::value& candidate, bool first) {
  members(candidate, [&](std::string_view key, od::value& v) {
    std::uint64_t number = 0;
    if (key == "finishReason" && (first || raw_finish.empty())) {
      if (is_string(v)) raw_finish = decoded(v);
      else if (integer(v, number)) raw_finish = gemini_finish(number);
    }
    else if (key == "content") members(v, [&](std::string_view k, od::value& parts) {
      if (k != "parts") return;
      items(parts, [&](od::value& part) {
        std::uint64_t bytes = 0;
        bool thought = false;
        members(part, [&](std::string_view name, od::value& p) {
          if (name == "text" && is_string(p)) bytes = decoded_bytes(raw_string(p));
          else if (name == "thought" && p.type() == od::json_type::boolean) thought = p.get_bool();
          else if (name == "functionCall" || name == "function_call") { ++calls; tool_delta = true; add_arguments(p); }
        });
        (thought ? reasoning : text) += bytes;
      });
    });
  });
}

FinishReason Tally::finish() const {
  if (wire == Wire::openai_responses) {
    if (status == "completed") return calls > 0 ? FinishReason::tool_calls : FinishReason::stop;
    if (status == "incomplete") return finish_from(wire, incomplete.empty() ? "max_output_tokens" : incomplete, false);
    return FinishReason::none;
  }
  if (wire == Wire::gemini && !block_reason.empty() && raw_finish.empty()) return FinishReason::content_filter;
  return finish_from(wire, raw_finish, calls > 0);
}

}  // namespace

Result<ReplyFacts> FactsReader::reply(Wire wire, std::string_view body, std::size_t readable) {
  try {
    const auto padded = state_->padded(body, readable);
    od::document document = state_->parser.iterate(padded);
    Tally tally{.wire = wire, .base = padded.data()};
    if (document.type() == od::json_type::array) {   // Gemini wraps some errors in a list
      ReplyFacts facts;
      facts.has_error = true;
      return facts;
    }
    tally.root(document.get_object());
    ReplyFacts facts;
    facts.id = std::move(tally.id);
    facts.finish = tally.finish();
    facts.model = std::move(tally.model);
    facts.model_value = tally.model_value;
    if (tally.counts.any()) facts.usage = tally.counts.usage(wire);
    facts.content_bytes = tally.text + tally.reasoning + tally.arguments;
    facts.tool_calls = tally.calls;
    facts.has_error = tally.error;
    return facts;
  } catch (const simdjson::simdjson_error& e) {
    return fail(ErrorCode::provider_bad_response, std::string("the reply is not valid JSON: ") + e.what());
  }
}

namespace {

bool says_nothing(Wire wire, const Tally& t) {
  switch (wire) {
    case Wire::openai_chat: return t.has_choices;
    case Wire::openai_responses:
      return t.type == "response.created" || t.type == "response.in_progress" || t.type == "response.queued" ||
             (t.type == "response.output_item.added" && t.item_type != "function_call") || t.type == "response.content_part.added" || t.type == "keepalive";
    case Wire::anthropic_messages: return t.type == "message_start" || t.type == "ping" || (t.type == "content_block_start" && !t.tool_delta);
    case Wire::gemini: return true;
  }
  return false;
}

void finish_chunk(Wire wire, Tally& t, ChunkFacts& f) {
  if (wire == Wire::openai_responses) {
    const bool delta = t.type.ends_with(".delta");
    f.is_terminal = t.type == "response.completed" || t.type == "response.failed" || t.type == "response.incomplete";
    // Snapshots repeat what the deltas said.
    f.text_bytes = delta ? t.text : 0;
    f.reasoning_bytes = delta ? t.reasoning : 0;
    f.has_tool_delta = t.tool_delta || (t.type == "response.output_item.added" && t.calls > 0);
    f.has_error = t.type == "error" || t.type == "response.failed";
    f.finish = f.is_terminal && !f.has_error ? t.finish() : FinishReason::none;
    if (!f.is_terminal) t.counts = {};
  } else {
    f.text_bytes = t.text;
    f.reasoning_bytes = t.reasoning;
    f.has_tool_delta = t.tool_delta;
    f.has_error = t.error;
    f.finish = t.finish();
    f.is_terminal = t.error || (wire == Wire::anthropic_messages && t.type == "message_stop");
  }
}

}  // namespace

Result<ChunkFacts> FactsReader::chunk(Wire wire, std::string_view event, std::string_view data) {
  ChunkFacts f;
  const auto trimmed = trim(data);
  if (trimmed == "[DONE]") {
    f.is_terminal = true;
    return f;
  }
  try {
    const auto padded = state_->padded(data, 0);
    od::document document = state_->parser.iterate(padded);
    Tally t{.wire = wire, .base = padded.data()};
    if (wire != Wire::openai_chat) t.type = std::string(event);
    t.root(document.get_object());
    if (event == "error") t.error = true, t.type = "error";
    finish_chunk(wire, t, f);
    if (t.counts.any()) f.usage = t.counts.usage(wire);
    f.model_value = t.model_value;
    f.usage_only = wire == Wire::openai_chat && t.empty_choices && f.usage.has_value();
    f.usage_null = t.usage_null;
    const bool content = f.text_bytes + f.reasoning_bytes > 0 || f.has_tool_delta || f.finish != FinishReason::none || f.has_error;
    f.lifecycle = !content && !f.is_terminal && says_nothing(wire, t);
    return f;
  } catch (const simdjson::simdjson_error& e) {
    return fail(ErrorCode::provider_bad_response, std::string("a stream event is not valid JSON: ") + e.what());
  }
}

}  // namespace ballast::llm
