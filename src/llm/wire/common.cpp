#include "llm/wire/common.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.hpp"

namespace ballast::llm {

namespace {
constexpr std::array<std::string_view, kWires> kWireNames{"openai_chat", "openai_responses", "anthropic_messages", "gemini"};
constexpr std::array<std::string_view, 9> kFinishNames{"none", "stop", "stop_sequence", "length", "tool_calls",
                                                       "content_filter", "refusal", "pause", "other"};
}  // namespace

std::string_view to_string(Wire wire) { return kWireNames[static_cast<std::size_t>(wire)]; }
std::optional<Wire> wire_from(std::string_view name) {
  for (std::size_t i = 0; i < kWires; ++i)
    if (kWireNames[i] == name) return static_cast<Wire>(i);
  return std::nullopt;
}
std::string_view to_string(FinishReason reason) { return kFinishNames[static_cast<std::size_t>(reason)]; }

FinishReason finish_from(Wire wire, std::string_view raw, bool calls) {
  using enum FinishReason;
  if (raw.empty()) return none;
  struct Row { std::string_view name; FinishReason reason; };
  static constexpr Row chat[] = {{"stop", stop}, {"eos", stop}, {"length", length}, {"model_length", length}, {"tool_calls", tool_calls},
      {"function_call", tool_calls}, {"content_filter", content_filter}, {"error", other}, {"insufficient_system_resource", other}};
  static constexpr Row responses[] = {{"completed", stop}, {"max_output_tokens", length}, {"content_filter", content_filter},
      {"max_tool_calls", other}};
  static constexpr Row anthropic[] = {{"end_turn", stop}, {"stop_sequence", stop_sequence}, {"max_tokens", length}, {"tool_use", tool_calls},
      {"model_context_window_exceeded", length}, {"refusal", refusal}, {"pause_turn", pause}, {"compaction", other}};
  static constexpr Row gemini[] = {{"STOP", stop}, {"MAX_TOKENS", length}, {"SAFETY", content_filter}, {"RECITATION", content_filter},
      {"BLOCKLIST", content_filter}, {"PROHIBITED_CONTENT", content_filter}, {"SPII", content_filter}, {"IMAGE_SAFETY", content_filter},
      {"MODEL_ARMOR", content_filter}, {"LANGUAGE", other}, {"MALFORMED_FUNCTION_CALL", other}, {"OTHER", other}};
  const auto find = [&](auto& rows) {
    for (const Row& row : rows)
      if (row.name == raw) return row.reason;
    return other;
  };
  FinishReason found = other;
  switch (wire) {
    case Wire::openai_chat: found = find(chat); break;
    case Wire::openai_responses: found = find(responses); break;
    case Wire::anthropic_messages: found = find(anthropic); break;
    case Wire::gemini: found = find(gemini); break;
  }
  return found == stop && calls ? tool_calls : found;
}

std::string_view gemini_finish(std::uint64_t number) {
  static constexpr std::string_view names[] = {"", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT",
                                               "SPII", "MALFORMED_FUNCTION_CALL"};
  return number < std::size(names) ? names[number] : "OTHER";
}

std::string_view finish_name(Wire wire, FinishReason reason) {
  static constexpr std::string_view names[kWires][9] = {
      {"", "stop", "stop", "length", "tool_calls", "content_filter", "content_filter", "stop", "stop"},
      {"", "completed", "completed", "max_output_tokens", "completed", "content_filter", "completed", "completed", "completed"},
      {"", "end_turn", "stop_sequence", "max_tokens", "tool_use", "refusal", "refusal", "pause_turn", "end_turn"},
      {"", "STOP", "STOP", "MAX_TOKENS", "STOP", "SAFETY", "SAFETY", "STOP", "OTHER"},
  };
  return names[static_cast<std::size_t>(wire)][static_cast<std::size_t>(reason)];
}

std::optional<DataUrl> parse_data_url(std::string_view url) {
  if (!url.starts_with("data:")) return std::nullopt;
  const auto comma = url.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  auto head = url.substr(5, comma - 5);
  if (!head.ends_with(";base64")) return std::nullopt;
  head.remove_suffix(7);
  if (const auto semi = head.find(';'); semi != std::string_view::npos) head = head.substr(0, semi);
  return DataUrl{head, url.substr(comma + 1)};
}

std::string data_url(std::string_view mime, std::string_view base64) {
  std::string out = "data:";
  out.append(mime.empty() ? "application/octet-stream" : mime).append(";base64,").append(base64);
  return out;
}

std::string_view mime_from_name(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> known[] = {
      {".pdf", "application/pdf"}, {".txt", "text/plain"}, {".md", "text/markdown"}, {".csv", "text/csv"}, {".html", "text/html"},
      {".json", "application/json"}, {".png", "image/png"}, {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"}, {".gif", "image/gif"},
      {".webp", "image/webp"}, {".wav", "audio/wav"}, {".mp3", "audio/mpeg"}, {".mp4", "video/mp4"}};
  const auto query = name.find_first_of("?#");
  if (query != std::string_view::npos) name = name.substr(0, query);
  for (const auto& [extension, mime] : known)
    if (name.ends_with(extension)) return mime;
  return {};
}

std::string_view audio_format(std::string_view mime) {
  if (mime == "audio/wav" || mime == "audio/x-wav" || mime == "audio/wave") return "wav";
  if (mime == "audio/mpeg" || mime == "audio/mp3") return "mp3";
  const auto slash = mime.find('/');
  return slash == std::string_view::npos ? mime : mime.substr(slash + 1);
}
std::string audio_mime(std::string_view format) {
  if (format == "mp3") return "audio/mpeg";
  return "audio/" + std::string(format);
}

std::string_view image_mime_from_base64(std::string_view data) {
  if (data.starts_with("/9j/")) return "image/jpeg";
  if (data.starts_with("R0lGOD")) return "image/gif";
  if (data.starts_with("UklGR")) return "image/webp";
  return "image/png";
}

std::string joined_text(const std::vector<Part>& parts, std::string_view separator) {
  std::string out;
  bool first = true;
  for (const auto& part : parts) {
    std::string_view text;
    if (const auto* t = as<Text>(part)) text = t->text;
    else if (const auto* r = as<Refusal>(part)) text = r->text;
    else continue;
    if (!first) out += separator;
    first = false;
    out += text;
  }
  return out;
}

bool only_text(const std::vector<Part>& parts) {
  return std::ranges::all_of(parts, [](const Part& p) { return as<Text>(p) != nullptr; });
}

Part text_part(std::string text) { return Part{.body = Text{.text = std::move(text), .signature = {}}, .cache = {}, .citations = {}}; }

json::value cache_json(const CacheMark& mark) {
  json::object o{{"type", "ephemeral"}};
  if (!mark.ttl.empty()) o["ttl"] = mark.ttl;
  return o;
}

std::string_view view(const json::string& s) { return {s.data(), s.size()}; }

json::object arguments_object(std::string_view text) {
  if (text.empty()) return {};
  auto parsed = parse_json(text);
  if (parsed && parsed->is_object()) return std::move(parsed->get_object());
  return {{"_raw", text}};
}

std::int64_t budget_for(std::string_view effort) {
  if (effort == "none") return 0;
  if (effort == "minimal") return 1024;
  if (effort == "low") return 2048;
  if (effort == "medium") return 8192;
  if (effort == "high") return 16384;
  return 32768;   // xhigh, max
}

std::string_view effort_for(std::int64_t budget) {
  if (budget == 0) return "none";
  if (budget < 0) return "medium";
  if (budget <= 1024) return "minimal";
  if (budget <= 4096) return "low";
  if (budget <= 12288) return "medium";
  return "high";
}

}  // namespace ballast::llm
