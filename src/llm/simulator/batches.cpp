// The simulator's batch APIs: OpenAI's files and batches, Anthropic's message batches. A batch is answered as a whole, kSimBatchTime after it was made.
#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "llm/form.hpp"
#include "llm/simulator/simulator.hpp"

namespace ballast::llm {

namespace {

constexpr std::size_t kMostKept = 200;       // files and batches: the oldest go

SimScript say(int status, json::value body) {
  return {.steps = {SimHead{.status = status, .headers = {{"content-type", "application/json"}}}, SimBytes{to_json(body)}}};
}
SimScript say_lines(std::string lines) { return {.steps = {SimHead{.headers = {{"content-type", "application/x-jsonl"}}}, SimBytes{std::move(lines)}}}; }
SimScript refuse_batch(int status, std::string_view message) { return say(status, json::object{{"type", "error"}, {"error", {{"type", "invalid_request_error"}, {"message", message}}}}); }

std::string text_in(const JsonRef& at, std::string_view name) {
  const auto found = at.find(name);
  return found && found->is_string() ? std::string(found->value().get_string()) : std::string();
}

// What a script comes to for one who reads it all.
std::pair<int, std::string> whole_of(const SimScript& script) {
  int status = 500;
  std::string body;
  for (const auto& step : script.steps) {
    if (const auto* head = std::get_if<SimHead>(&step)) status = head->status;
    if (const auto* bytes = std::get_if<SimBytes>(&step)) body += bytes->bytes;
    if (std::holds_alternative<SimReset>(step) || std::holds_alternative<SimSilence>(step)) status = 500;
  }
  return {status, std::move(body)};
}

json::value document_of(std::string_view body) {
  auto document = parse_json(body, {.max_bytes = 64u << 20, .max_depth = 256});
  return document ? std::move(*document) : json::value(nullptr);
}

}  // namespace

// One line, answered and counted at the batch price.
std::string Simulator::batch_line(std::string_view id, std::string_view url, std::string_view body, bool anthropic) {
  const auto asked = sim_route("POST", url, body, "application/json");
  const auto [status, said] = asked ? whole_of(script(*asked, true)) : std::pair(404, std::string("{}"));
  if (anthropic) {
    json::object result{{"type", status == 200 ? "succeeded" : "errored"}};
    result[status == 200 ? "message" : "error"] = document_of(said);
    return to_json(json::object{{"custom_id", id}, {"result", std::move(result)}}) + "\n";
  }
  return to_json(json::object{{"id", "batch_req_sim"}, {"custom_id", id}, {"response", {{"status_code", status}, {"request_id", "req_sim"}, {"body", document_of(said)}}}, {"error", nullptr}}) + "\n";
}

SimScript Simulator::keep_file(std::string_view body, std::string_view content_type) {
  const auto parts = read_form(body, content_type);
  if (!parts) return refuse_batch(400, parts.error().message);
  const auto file = std::ranges::find(*parts, std::string_view("file"), &FormPart::name);
  if (file == parts->end()) return refuse_batch(400, "file is required");
  std::lock_guard lock(mutex_);
  const std::string id = "file-sim" + std::to_string(++kept_);
  files_[id] = file->value;
  file_order_.push_back(id);
  if (file_order_.size() > kMostKept) files_.erase(file_order_.front()), file_order_.pop_front();
  return say(200, json::object{{"id", id}, {"object", "file"}, {"bytes", file->value.size()}, {"filename", file->filename}, {"purpose", "batch"}});
}

SimScript Simulator::make_batch(std::string_view body, bool anthropic) {
  const json::value document = document_of(body);
  const JsonRef asked(document);
  Made made{.anthropic = anthropic, .ends = clock_.mono() + kSimBatchTime};
  if (anthropic) {
    const auto requests = document.is_object() ? asked.find("requests") : std::nullopt;
    for (std::size_t i = 0; requests && i < requests->size(); ++i, ++made.lines)
      if (const auto params = requests->item(i).find("params")) made.results += batch_line(text_in(requests->item(i), "custom_id"), "/v1/messages", to_json(params->value()), true);
  } else {
    std::string input;
    {
      std::lock_guard lock(mutex_);
      const auto file = files_.find(document.is_object() ? text_in(asked, "input_file_id") : std::string());
      if (file == files_.end()) return refuse_batch(400, "there is no such file");
      input = file->second;
    }
    if (const auto metadata = asked.find("metadata")) made.metadata = metadata->value();
    for (std::string_view rest = input; !rest.empty();) {
      const json::value line = document_of(trim(take_until(rest, '\n')));
      if (!line.is_object()) continue;
      const JsonRef at(line);
      const auto request = at.find("body");
      made.results += batch_line(text_in(at, "custom_id"), text_in(at, "url"), request ? to_json(request->value()) : "{}", false);
      ++made.lines;
    }
  }
  std::lock_guard lock(mutex_);
  const std::string id = (anthropic ? "msgbatch_sim" : "batch_sim") + std::to_string(++kept_);
  batches_[id] = std::move(made);
  batch_order_.push_back(id);
  if (batch_order_.size() > kMostKept) batches_.erase(batch_order_.front()), batch_order_.pop_front();
  return say(200, batch_json(id, batches_[id]));
}

json::object Simulator::batch_json(const std::string& id, const Made& made) const {
  const bool over = clock_.mono() >= made.ends;
  if (made.anthropic) return {{"id", id}, {"type", "message_batch"}, {"processing_status", over ? "ended" : "in_progress"}, {"results_url", over ? json::value("/v1/messages/batches/" + id + "/results") : json::value(nullptr)}};
  return {{"id", id}, {"object", "batch"}, {"status", over ? "completed" : "in_progress"}, {"output_file_id", over ? json::value("out-" + id) : json::value(nullptr)},
          {"error_file_id", nullptr}, {"request_counts", {{"total", made.lines}, {"completed", over ? made.lines : 0}, {"failed", 0}}}, {"metadata", made.metadata}};
}

SimScript Simulator::tell_batch(std::string_view rest, bool anthropic) {
  std::lock_guard lock(mutex_);
  const auto slash = rest.find('/');
  const auto at = batches_.find(rest.substr(0, slash));
  if (at == batches_.end() || at->second.anthropic != anthropic) return refuse_batch(404, "there is no such batch");
  if (slash == std::string_view::npos) return say(200, batch_json(at->first, at->second));
  if (!anthropic || rest.substr(slash) != "/results" || clock_.mono() < at->second.ends) return refuse_batch(404, "it has no results");
  return say_lines(at->second.results);
}

std::optional<SimScript> Simulator::batch(std::string_view method, std::string_view target, std::string_view body, std::string_view content_type) {
  const std::string_view path = target.substr(0, target.find('?'));
  constexpr std::string_view messages = "/messages/batches", batches = "/batches", files = "/files";
  const auto at = [&](std::string_view name) { return path.find(name); };
  if (const auto i = at(messages); i != std::string_view::npos) {
    const auto rest = path.substr(i + messages.size());
    if (method == "POST" && rest.empty()) return make_batch(body, true);
    if (method == "GET" && rest.size() > 1) return tell_batch(rest.substr(1), true);
    return std::nullopt;
  }
  if (const auto i = at(batches); i != std::string_view::npos) {
    const auto rest = path.substr(i + batches.size());
    if (method == "POST" && rest.empty()) return make_batch(body, false);
    if (method == "GET" && rest.size() > 1) return tell_batch(rest.substr(1), false);
    if (method != "GET" || !rest.empty()) return std::nullopt;
    json::array all;
    std::lock_guard lock(mutex_);
    for (const auto& [id, made] : batches_)
      if (!made.anthropic) all.push_back(batch_json(id, made));
    return say(200, json::object{{"object", "list"}, {"data", std::move(all)}, {"has_more", false}});
  }
  const auto i = at(files);
  if (i == std::string_view::npos) return std::nullopt;
  auto rest = path.substr(i + files.size());
  if (method == "POST" && rest.empty()) return keep_file(body, content_type);
  if (method != "GET" || !rest.starts_with("/out-") || !rest.ends_with("/content")) return std::nullopt;
  rest = rest.substr(5, rest.size() - 5 - 8);
  std::lock_guard lock(mutex_);
  const auto found = batches_.find(rest);
  if (found == batches_.end() || clock_.mono() < found->second.ends) return refuse_batch(404, "there is no such file");
  return say_lines(found->second.results);
}

}  // namespace ballast::llm
