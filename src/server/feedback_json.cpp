#include "server/feedback_json.hpp"

#include <fmt/format.h>

#include "base/config_node.hpp"

namespace ballast::server {

namespace {

// Rounded half up, to the nano-dollar.
std::string usd_each(records::Int128 nano, std::uint64_t count) {
  const auto n = static_cast<records::Int128>(count);
  return records::nano_to_usd((nano + n / 2) / n);
}

}  // namespace

json::object feedback_json(const records::Feedback& f) {
  return {{"id", to_string(f.id, "fb")}, {f.subject.name.starts_with("job_") ? "job" : "call", f.subject.name}, {"verdict", f.good ? "good" : "bad"}, {"score", f.score ? json::value(*f.score) : json::value(nullptr)},
          {"comment", f.comment}, {"user", f.user}, {"key_id", f.key_id}, {"at", to_rfc3339(f.given)}};
}

json::object feedback_report_json(const records::FeedbackReport& report, const std::vector<records::Feedback>& recent) {
  json::array rows, newest;
  for (const auto& r : report.rows) {
    const std::uint64_t all = r.good + r.bad;
    const auto share = records::wilson(r.good, all);
    json::object o{{"group", r.group}, {"good", r.good}, {"bad", r.bad}};
    o["score"] = r.scored ? json::value(r.score_sum / static_cast<double>(r.scored)) : json::value(nullptr);
    o["satisfaction"] = all ? json::value(static_cast<double>(r.good) / static_cast<double>(all)) : json::value(nullptr);
    o["satisfaction_low"] = share.low;
    o["satisfaction_high"] = share.high;
    o["judged"] = r.judged;
    o["successful"] = r.successful;
    o["incurred_usd"] = records::nano_to_usd(r.incurred_nano);
    o["usd_per_good"] = r.successful ? json::value(usd_each(r.incurred_nano, r.successful)) : json::value(nullptr);
    rows.push_back(std::move(o));
  }
  for (const auto& f : recent) newest.push_back(feedback_json(f));
  json::object out{{"rows", std::move(rows)}, {"recent", std::move(newest)}};
  if (report.cut) out["cut"] = fmt::format("only the newest {} verdicts of the range are counted; ask for a shorter one", records::kMostJudged);
  return out;
}

std::string with_feedback(std::string record, const std::vector<records::Feedback>& feedback) {
  if (feedback.empty() || !record.ends_with('}')) return record;
  json::array list;
  for (const auto& f : feedback) list.push_back(feedback_json(f));
  record.pop_back();
  record += ",\"feedback\":";
  append_json(record, list);
  return record + '}';
}

Result<records::FeedbackBy> feedback_by(std::string_view name, std::string_view field) {
  if (const auto by = records::feedback_by_from(name)) return *by;
  return fail(ErrorCode::caller_invalid_request, fmt::format("cannot group by \"{}\": one of model, provider, route, feature, key, team, user, day", name), std::string(field));
}

}  // namespace ballast::server
