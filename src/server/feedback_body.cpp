#include "server/feedback_body.hpp"

#include "base/config_node.hpp"
#include "base/json.hpp"
#include "gateway/principal.hpp"
#include "server/job_json.hpp"

namespace ballast::server {

namespace {

Error invalid(std::string message, std::string field) { return {ErrorCode::caller_invalid_request, std::move(message), std::move(field)}; }

Result<void> read_subject(const JsonRef& body, Said& said) {
  const auto call = body.maybe<std::string>("call"), job = body.maybe<std::string>("job");
  if (!call || !job) return std::unexpected(call ? job.error() : call.error());
  if (call->has_value() == job->has_value()) return std::unexpected(invalid("say what is judged: either \"call\" or \"job\"", "call"));
  if (*call) {
    said.call = parse_id(**call, "call");
    return said.call ? Result<void>{} : std::unexpected(invalid("a call's id looks like call_01k…: x-ballast-call-id of the reply", "call"));
  }
  const auto id = work::parse_job_id(**job);
  if (!id) return std::unexpected(invalid("a job's id looks like job_ and 13 characters", "job"));
  said.job = *id;
  return {};
}

}  // namespace

Result<Said> read_said(std::string_view text) {
  const auto document = parse_json(text, {.max_bytes = 64 * 1024, .max_depth = 4});
  if (!document) return fail(document.error());
  const JsonRef body(*document);
  if (auto known = only_members(body, {"call", "job", "verdict", "score", "comment", "user"}); !known) return fail(std::move(known.error()));
  Said said;
  if (auto subject = read_subject(body, said); !subject) return fail(std::move(subject.error()));
  const auto verdict = body.get<std::string>("verdict");
  if (!verdict) return fail(verdict.error());
  if (*verdict != "good" && *verdict != "bad") return fail(invalid("must be \"good\" or \"bad\"", "verdict"));
  said.feedback.good = *verdict == "good";
  const auto score = body.maybe<double>("score");
  if (!score) return fail(score.error());
  if (*score && !(**score >= 0 && **score <= 1)) return fail(invalid("must be from 0 to 1", "score"));
  said.feedback.score = *score;
  auto comment = body.maybe<std::string>("comment");
  if (!comment) return fail(std::move(comment.error()));
  said.feedback.comment = std::move(*comment).value_or("");
  if (said.feedback.comment.size() > records::kMaxComment) return fail(invalid(fmt::format("may have at most {} bytes", records::kMaxComment), "comment"));
  auto user = body.maybe<std::string>("user");
  if (!user) return fail(std::move(user.error()));
  said.named = user->has_value();
  said.feedback.user = std::move(*user).value_or("");
  if (said.feedback.user.size() > gateway::kMaxAttribution) return fail(invalid(fmt::format("may have at most {} bytes", gateway::kMaxAttribution), "user"));
  return said;
}

}  // namespace ballast::server
