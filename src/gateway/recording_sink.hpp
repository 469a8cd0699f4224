// RecordingSink: the road's sink, with an ear. Passes everything on as it comes; of a call that its route's rule chooses it keeps a copy, up to
// the rule's limit. Of one that is kept only if it fails it keeps what an error says.
#pragma once
#include "gateway/call.hpp"
#include "gateway/recorder.hpp"
#include "records/call_record.hpp"

namespace ballast::gateway {

// Lives as long as the call; used on its loop.
class RecordingSink final : public ReplySink {
 public:
  explicit RecordingSink(ReplySink& inner) : inner_(inner) {}
  Scheduler& loop() override { return inner_.loop(); }
  CancelToken gone() override { return inner_.gone(); }
  Task<Result<void>> reply(ReplyHead head, std::string_view body) override;
  Task<Result<void>> begin(ReplyHead head, std::string_view first) override;
  Task<Result<void>> write(std::string_view bytes) override;
  Task<Result<void>> end(std::string_view last) override;
  void abort() override { inner_.abort(); }
  void failed(const Error& error) override;

  // From now on, if `rule` (may be null) and `call` want it: before anything was answered.
  void arm(std::shared_ptr<const RecordRule> rule, const Call& call, Id id);
  // The call is over, and `call` still there: hands over what is to be kept.
  void finish(const Call& call, const records::CallRecord& record, Recorder& recorder);

 private:
  void hear(std::string_view bytes);

  ReplySink& inner_;
  std::shared_ptr<const RecordRule> rule_;       // null: not armed
  RecordedSide reply_;
  std::string error_, error_message_;
  bool chosen_ = false, streamed_ = false, whole_ = false;
};

}  // namespace ballast::gateway
