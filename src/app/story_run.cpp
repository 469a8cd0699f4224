// The story of one run.
#include "app/story.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"

namespace ballast::app {

namespace {

const json::value* member(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  return v && !v->is_null() ? v : nullptr;
}

std::string word(const json::object& o, std::string_view name) {
  const auto* v = member(o, name);
  return v ? one_line(plain(*v)) : std::string();
}

void line(std::string& out, std::string_view name, std::string_view text) {
  out += fmt::format("      {:<12}{}\n", name, one_line(text));
}

std::string parameters(const json::value& list) {
  std::string out;
  const auto* all = list.if_array();
  for (std::size_t i = 0; all && i < all->size(); ++i) out += fmt::format("{}${} = {}", i ? ", " : "", i + 1, to_json((*all)[i]));
  return out;
}

std::string times(const json::value& timing) {
  std::string out;
  const auto* all = timing.if_object();
  for (const auto* part : {"model", "read", "build", "run"})
    if (const auto* v = all ? member(*all, part) : nullptr; v && v->is_number()) out += fmt::format("{}{} {:.2f} ms", out.empty() ? "" : ", ", part, v->to_number<double>());
  return out;
}

// How a question over a dataset was answered; nothing of another stage's output.
void tell_question(const json::value& output, std::string& out) {
  const auto* found = output.if_object();
  if (!found || !member(*found, "intent") || !(member(*found, "sql") || member(*found, "unanswerable"))) return;
  if (member(*found, "question")) line(out, "question", word(*found, "question"));
  line(out, "intent", to_json(found->at("intent")));
  if (member(*found, "unanswerable")) line(out, "refused", word(*found, "unanswerable"));
  if (member(*found, "sql")) line(out, "SQL", word(*found, "sql"));
  if (const auto* list = member(*found, "parameters"); list && list->is_array() && !list->get_array().empty()) line(out, "parameters", parameters(*list));
  if (const auto* rows = member(*found, "rows"); rows && rows->is_array())
    line(out, "rows", fmt::format("{}{}", rows->get_array().size(), word(*found, "truncated") == "true" ? ", and there are more" : ""));
  if (const auto* timing = member(*found, "timing_ms")) line(out, "time", times(*timing));
}

}  // namespace

std::string tell_run(const json::value& stages) {
  const auto* run = stages.if_object();
  if (!run) return {};
  std::string out = fmt::format("{}, a run of the flow {} (version {}): {}\n", word(*run, "id"), word(*run, "flow"), word(*run, "version"), word(*run, "state"));
  const auto* records = member(*run, "records");
  for (const auto& entry : records && records->is_array() ? records->get_array() : json::array{}) {
    const auto* r = entry.if_object();
    if (!r || word(*r, "what") == "started") continue;
    out += fmt::format("  {}  {}: {}", word(*r, "at"), word(*r, "stage"), word(*r, "what"));
    if (member(*r, "cost_usd")) out += fmt::format(", ${}", word(*r, "cost_usd"));
    if (const auto* error = member(*r, "error"); error && error->is_object()) out += ": " + word(error->get_object(), "message");
    out += '\n';
    if (const auto* output = member(*r, "output")) tell_question(*output, out);
  }
  return out;
}

}  // namespace ballast::app
