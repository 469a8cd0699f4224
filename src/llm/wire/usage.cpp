#include "llm/wire/usage.hpp"

#include <algorithm>
#include <array>

#include "llm/facts.hpp"

namespace ballast::llm {

std::string_view to_string(ServiceTier tier) {
  static constexpr std::array<std::string_view, 4> names{"standard", "flex", "priority", "batch"};
  return names[static_cast<std::size_t>(tier)];
}

// OpenAI: default, flex, priority. Anthropic: standard, priority, batch. Gemini: trafficType ON_DEMAND_FLEX, ON_DEMAND_PRIORITY.
ServiceTier service_tier_from(std::string_view name) {
  if (name == "priority" || name == "ON_DEMAND_PRIORITY") return ServiceTier::priority;
  if (name == "flex" || name == "ON_DEMAND_FLEX") return ServiceTier::flex;
  if (name == "batch") return ServiceTier::batch;
  return ServiceTier::standard;
}

bool names_tier(std::string_view key) { return key == "service_tier" || key == "serviceTier" || key == "trafficType"; }

void UsageCounts::count(Wire wire, std::string_view parent, std::string_view key, std::uint64_t value) {
  switch (wire) {
    case Wire::openai_chat:
    case Wire::openai_responses: return count_openai(parent, key, value);
    case Wire::anthropic_messages: return count_anthropic(parent, key, value);
    case Wire::gemini: return count_gemini(parent, key, value);
  }
}

void UsageCounts::count_openai(std::string_view parent, std::string_view key, std::uint64_t value) {
  if (parent.empty()) {
    if (key == "prompt_tokens" || key == "input_tokens") input_ = value, any_ = true;
    else if (key == "completion_tokens" || key == "output_tokens") output_ = value, any_ = true;
    else if (key == "total_tokens") total_ = value, any_ = true;
    // DeepSeek, Mistral and Moonshot report cached tokens beside the details.
    else if (key == "prompt_cache_hit_tokens" || key == "num_cached_tokens" || key == "cached_tokens") cached_ = std::max(cached_, value);
    else if (key == "num_server_side_tools_used") searches_ = value;
    return;
  }
  const bool in = parent == "prompt_tokens_details" || parent == "input_tokens_details";
  const bool out = parent == "completion_tokens_details" || parent == "output_tokens_details";
  if (in && key == "cached_tokens") cached_ = std::max(cached_, value);
  else if (in && key == "cache_write_tokens") written_ = value;
  else if (in && key == "audio_tokens") audio_in_ = value;
  else if (in && key == "image_tokens") image_in_ = value;
  else if (out && key == "reasoning_tokens") reasoning_ = value;
  else if (out && key == "audio_tokens") audio_out_ = value;
  else if (out && key == "image_tokens") image_out_ = value;
}

void UsageCounts::count_anthropic(std::string_view parent, std::string_view key, std::uint64_t value) {
  if (parent.empty()) {
    if (key == "input_tokens") input_ = value, any_ = true;
    else if (key == "output_tokens") output_ = value, any_ = true;
    else if (key == "cache_read_input_tokens") cached_ = value;
    else if (key == "cache_creation_input_tokens") written_ = value;
  } else if (parent == "cache_creation") {
    if (key == "ephemeral_5m_input_tokens") written_5m_ = value;
    else if (key == "ephemeral_1h_input_tokens") written_1h_ = value;
  } else if (parent == "output_tokens_details") {
    if (key == "thinking_tokens" || key == "reasoning_tokens") reasoning_ = value;
  } else if (parent == "server_tool_use") {
    if (key == "web_search_requests") searches_ = value;
  }
}

void UsageCounts::count_gemini(std::string_view parent, std::string_view key, std::uint64_t value) {
  if (parent.empty()) {
    if (key == "promptTokenCount") input_ = value, any_ = true;
    else if (key == "candidatesTokenCount") output_ = value, any_ = true;
    else if (key == "thoughtsTokenCount") reasoning_ = value;
    else if (key == "cachedContentTokenCount") cached_ = value;
    else if (key == "toolUsePromptTokenCount") tool_input_ = value;
    else if (key == "totalTokenCount") total_ = value;
  } else if (parent == "promptTokensDetails") {
    if (key == "AUDIO") audio_in_ = value;
    else if (key == "IMAGE") image_in_ = value;
  } else if (parent == "candidatesTokensDetails") {
    if (key == "AUDIO") audio_out_ = value;
    else if (key == "IMAGE") image_out_ = value;
  }
}

Usage UsageCounts::usage(Wire wire) const {
  Usage u;
  u.reasoning = reasoning_;
  u.server_tool_calls = searches_;
  u.tier = tier_;
  switch (wire) {
    case Wire::openai_chat:
    case Wire::openai_responses: {
      // Some compatible providers leave the thoughts out of completion_tokens but count them in the total.
      u.output = total_ > input_ ? std::max(output_, total_ - input_) : output_;
      u.cache_read = std::min(cached_, input_);
      u.cache_write_5m = std::min(written_, input_ - u.cache_read);
      u.input_uncached = input_ - u.cache_read - u.cache_write_5m;
      break;
    }
    case Wire::anthropic_messages: {
      u.input_uncached = input_;
      u.cache_read = cached_;
      u.cache_write_1h = written_1h_;
      u.cache_write_5m = std::max(written_5m_, written_ > written_1h_ ? written_ - written_1h_ : 0);
      u.output = output_;
      break;
    }
    case Wire::gemini: {
      u.cache_read = std::min(cached_, input_);
      u.input_uncached = input_ - u.cache_read + tool_input_;
      u.output = output_ + reasoning_;
      break;
    }
  }
  u.reasoning = std::min(u.reasoning, u.output);
  u.audio_in = std::min(audio_in_, u.input_uncached);
  u.image_in = std::min(image_in_, u.input_uncached - u.audio_in);
  u.audio_out = std::min(audio_out_, u.output);
  u.image_out = std::min(image_out_, u.output - u.audio_out);
  return u;
}

namespace {

std::optional<std::uint64_t> number_of(const json::value& v) {
  if (v.is_int64() && v.get_int64() >= 0) return static_cast<std::uint64_t>(v.get_int64());
  if (v.is_uint64()) return v.get_uint64();
  return std::nullopt;
}

void count_modalities(UsageCounts& counts, Wire wire, std::string_view list, const json::array& items) {
  for (const auto& item : items) {
    if (!item.is_object()) continue;
    const auto* modality = item.get_object().if_contains("modality");
    const auto* tokens = item.get_object().if_contains("tokenCount");
    if (modality == nullptr || tokens == nullptr || !modality->is_string()) continue;
    if (const auto n = number_of(*tokens)) counts.count(wire, list, modality->get_string(), *n);
  }
}

}  // namespace

void count_all(UsageCounts& counts, Wire wire, const json::value& usage) {
  if (!usage.is_object()) return;
  for (const auto& [key, value] : usage.get_object()) {
    if (const auto n = number_of(value)) {
      counts.count(wire, {}, key, *n);
    } else if (value.is_object()) {
      for (const auto& [inner, v] : value.get_object())
        if (const auto m = number_of(v)) counts.count(wire, key, inner, *m);
    } else if (value.is_string() && names_tier(key)) {
      counts.served_at(value.get_string());
    } else if (value.is_array()) {
      count_modalities(counts, wire, key, value.get_array());
    }
  }
}

void count_tier(UsageCounts& counts, const json::value& reply) {
  const auto* object = reply.if_object();
  const auto* tier = object ? object->if_contains("service_tier") : nullptr;
  if (tier && tier->is_string()) counts.served_at(tier->get_string());
}

namespace {

json::object write_openai(const Usage& u, bool responses) {
  json::object in{{"cached_tokens", u.cache_read}};
  if (responses || u.cache_write_5m + u.cache_write_1h > 0) in["cache_write_tokens"] = u.cache_write_5m + u.cache_write_1h;
  json::object out{{"reasoning_tokens", u.reasoning}};
  if (u.audio_in > 0) in["audio_tokens"] = u.audio_in;
  if (u.image_in > 0) in["image_tokens"] = u.image_in;
  if (u.audio_out > 0) out["audio_tokens"] = u.audio_out;
  if (u.image_out > 0) out["image_tokens"] = u.image_out;
  if (responses)
    return {{"input_tokens", u.input()}, {"input_tokens_details", in}, {"output_tokens", u.output},
            {"output_tokens_details", out}, {"total_tokens", u.total()}};
  return {{"prompt_tokens", u.input()}, {"completion_tokens", u.output}, {"total_tokens", u.total()},
          {"prompt_tokens_details", in}, {"completion_tokens_details", out}};
}

json::object write_anthropic(const Usage& u) {
  json::object o{{"input_tokens", u.input_uncached}, {"cache_creation_input_tokens", u.cache_write_5m + u.cache_write_1h},
                 {"cache_read_input_tokens", u.cache_read}, {"output_tokens", u.output}};
  if (u.cache_write_1h > 0)
    o["cache_creation"] = json::object{{"ephemeral_5m_input_tokens", u.cache_write_5m}, {"ephemeral_1h_input_tokens", u.cache_write_1h}};
  if (u.reasoning > 0) o["output_tokens_details"] = json::object{{"thinking_tokens", u.reasoning}};
  if (u.server_tool_calls > 0) o["server_tool_use"] = json::object{{"web_search_requests", u.server_tool_calls}};
  return o;
}

json::object write_gemini(const Usage& u) {
  json::object o{{"promptTokenCount", u.input()}, {"candidatesTokenCount", u.output - u.reasoning}, {"totalTokenCount", u.total()}};
  if (u.reasoning > 0) o["thoughtsTokenCount"] = u.reasoning;
  if (u.cache_read > 0) o["cachedContentTokenCount"] = u.cache_read;
  const auto detail = [&](const char* key, std::uint64_t all, std::uint64_t audio, std::uint64_t image) {
    if (audio + image == 0) return;
    json::array list{json::object{{"modality", "TEXT"}, {"tokenCount", all - audio - image}}};
    if (audio > 0) list.push_back(json::object{{"modality", "AUDIO"}, {"tokenCount", audio}});
    if (image > 0) list.push_back(json::object{{"modality", "IMAGE"}, {"tokenCount", image}});
    o[key] = std::move(list);
  };
  detail("promptTokensDetails", u.input(), u.audio_in, u.image_in);
  detail("candidatesTokensDetails", u.output, u.audio_out, u.image_out);
  return o;
}

}  // namespace

json::object write_usage(Wire wire, const Usage& usage) {
  switch (wire) {
    case Wire::openai_chat: return write_openai(usage, false);
    case Wire::openai_responses: return write_openai(usage, true);
    case Wire::anthropic_messages: return write_anthropic(usage);
    case Wire::gemini: return write_gemini(usage);
  }
  return {};
}

void merge_usage(Wire wire, Usage& total, const Usage& later) {
  if (wire != Wire::anthropic_messages) {
    total = later;
    return;
  }
  const auto keep = [](std::uint64_t& mine, std::uint64_t theirs) { if (theirs > 0) mine = theirs; };
  if (later.input() > 0) {
    keep(total.input_uncached, later.input_uncached);
    keep(total.cache_read, later.cache_read);
    // A closing count may give the written tokens without their split by lifetime: the opening split stays.
    if (later.cache_write_5m + later.cache_write_1h != total.cache_write_5m + total.cache_write_1h) {
      keep(total.cache_write_5m, later.cache_write_5m);
      keep(total.cache_write_1h, later.cache_write_1h);
    }
  }
  keep(total.output, later.output);
  keep(total.reasoning, later.reasoning);
  keep(total.server_tool_calls, later.server_tool_calls);
  if (later.tier != ServiceTier::standard) total.tier = later.tier;
}

}  // namespace ballast::llm
