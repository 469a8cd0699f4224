#include "server/exchange_sink.hpp"

namespace ballast::server {

namespace {

net::Headers wire_headers(const gateway::ReplyHead& head) {
  net::Headers headers;
  headers.add("content-type", head.content_type);
  for (const auto& h : head.headers) headers.add(h.name, h.value);
  return headers;
}

}  // namespace

Task<Result<void>> ExchangeSink::reply(gateway::ReplyHead head, std::string_view body) {
  const net::Headers headers = wire_headers(head);
  co_return co_await exchange_.respond(head.status, headers, body);
}

Task<Result<void>> ExchangeSink::begin(gateway::ReplyHead head) {
  net::Headers headers = wire_headers(head);
  headers.add("cache-control", "no-cache");
  co_return co_await exchange_.start_stream(head.status, headers);
}

Task<Result<void>> ExchangeSink::write(std::string_view bytes) { co_return co_await exchange_.write(bytes); }

Task<Result<void>> ExchangeSink::end() { co_return co_await exchange_.finish(); }

}  // namespace ballast::server
