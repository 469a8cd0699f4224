#include "gateway/recording_sink.hpp"

namespace ballast::gateway {

namespace {

constexpr int kFirstError = 400;

void take(RecordedSide& side, std::string_view bytes, std::size_t most) {
  side.size += bytes.size();
  if (side.size <= most) side.bytes += bytes;
  else std::string().swap(side.bytes);
}

}  // namespace

void RecordingSink::hear(std::string_view bytes) {
  if (chosen_) take(reply_, bytes, rule_->most_copied());
}

Task<Result<void>> RecordingSink::reply(ReplyHead head, std::string_view body) {
  if (rule_ && (chosen_ || (rule_->errors && head.status >= kFirstError))) {
    reply_.type = head.headers.get("content-type");
    take(reply_, body, rule_->most_copied());
    whole_ = true;
  }
  return inner_.reply(std::move(head), body);
}

Task<Result<void>> RecordingSink::begin(ReplyHead head, std::string_view first) {
  streamed_ = true;
  if (chosen_) reply_.type = head.headers.get("content-type");
  hear(first);
  return inner_.begin(std::move(head), first);
}

Task<Result<void>> RecordingSink::write(std::string_view bytes) {
  hear(bytes);
  return inner_.write(bytes);
}

Task<Result<void>> RecordingSink::end(std::string_view last) {
  hear(last);
  whole_ = true;
  return inner_.end(last);
}

void RecordingSink::failed(const Error& error) {
  if (rule_) {
    error_ = to_string(error.code);
    error_message_ = error.message;
  }
  inner_.failed(error);
}

void RecordingSink::arm(std::shared_ptr<const RecordRule> rule, const Call& call, Id id) {
  if (!rule || call.record == "off") return;
  chosen_ = rule->chooses(id);
  if (chosen_ || rule->errors) rule_ = std::move(rule);
}

void RecordingSink::finish(const Call& call, const records::CallRecord& record, Recorder& recorder) {
  if (!rule_ || (!chosen_ && record.status != records::CallStatus::failed)) return;
  if (recorder.full()) return;
  const bool caller_heard_all = whole_ && record.status != records::CallStatus::cancelled && !(streamed_ && !error_.empty());
  Recording r{.call = {.id = record.id, .user = record.user, .key_id = record.key_id, .at = record.arrived, .full = rule_->mode == RecordMode::full,
                       .redacted = false, .truncated = false, .whole = caller_heard_all, .request = {}, .reply = {}},
              .rule = rule_, .wire = call.wire, .request = {.bytes = {}, .type = std::string(call.content_type), .size = 0}, .reply = std::move(reply_),
              .error = std::move(error_), .error_message = std::move(error_message_), .streamed = streamed_};
  take(r.request, call.body, rule_->most_copied());
  (void)recorder.offer(std::move(r));
}

}  // namespace ballast::gateway
