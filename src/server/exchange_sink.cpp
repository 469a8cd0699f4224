#include "server/exchange_sink.hpp"

namespace ballast::server {

Task<Result<void>> ExchangeSink::reply(gateway::ReplyHead head, std::string_view body) {
  status_ = head.status;
  co_return co_await exchange_.respond(head.status, head.headers, body);
}

Task<Result<void>> ExchangeSink::begin(gateway::ReplyHead head, std::string_view first) {
  status_ = head.status;
  head.headers.put("cache-control", "no-cache");
  co_return co_await exchange_.start_stream(head.status, head.headers, first);
}

Task<Result<void>> ExchangeSink::write(std::string_view bytes) { return exchange_.write(bytes); }

Task<Result<void>> ExchangeSink::end(std::string_view last) { return exchange_.finish(last); }

}  // namespace ballast::server
