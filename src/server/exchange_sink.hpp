// ExchangeSink: an HTTP exchange as the call road's ReplySink.
#pragma once
#include "gateway/call.hpp"
#include "net/server.hpp"

namespace ballast::server {

// Lives as long as the handler's task. See gateway::ReplySink for the order of calls.
class ExchangeSink final : public gateway::ReplySink {
 public:
  explicit ExchangeSink(net::Exchange& exchange) : exchange_(exchange) {}
  Scheduler& loop() override { return exchange_.loop(); }
  CancelToken gone() override { return exchange_.gone(); }
  Task<Result<void>> reply(gateway::ReplyHead head, std::string_view body) override;
  Task<Result<void>> begin(gateway::ReplyHead head, std::string_view first) override;
  Task<Result<void>> write(std::string_view bytes) override;
  Task<Result<void>> end(std::string_view last) override;
  void abort() override { exchange_.abort(); }
  int status() const { return status_; }         // what was answered; 0: nothing yet

 private:
  net::Exchange& exchange_;
  int status_ = 0;
};

}  // namespace ballast::server
