// The other side of HTTP calls in simulated time: says what the test's script says, and keeps what came.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/text.hpp"
#include "net/transport.hpp"

namespace ballast::test {

struct FakeWeb final : net::Transport {
  struct Seen {
    std::string method, url, body;
    std::map<std::string, std::string> headers;   // by their names in lower case
    bool fresh = false, replay_safe = false;
    MonoTime at{};
    std::string header(const std::string& name) const { return headers.contains(name) ? headers.at(name) : std::string(); }
  };
  struct Says {
    int status = 200;
    std::string body = {};
    std::vector<std::pair<std::string, std::string>> headers = {};
    Duration takes{};
    std::optional<Error> error = {};         // instead of an answer
    bool sent = true;                        // with an error: bytes had left
    bool silent = false;                     // nothing comes until the caller gives up
  };
  std::function<Says(const Seen&)> answer = [](const Seen&) { return Says{.body = "{}"}; };
  std::vector<Seen> seen;

  // How many different things the keys that came name; without a key each call is one.
  std::size_t effects() const {
    std::set<std::string> keys;
    std::size_t bare = 0;
    for (const Seen& s : seen)
      if (s.header("idempotency-key").empty()) ++bare;
      else keys.insert(s.header("idempotency-key"));
    return keys.size() + bare;
  }

  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts, CancelToken cancel) override {
    Seen s{.method = std::string(request.method), .url = net::to_string(*request.url), .body = {}, .headers = {}, .fresh = request.fresh, .replay_safe = request.replay_safe,
           .at = loop.clock().mono()};
    for (const auto piece : request.body) s.body += piece;
    for (const auto& [name, value] : request.headers) s.headers[to_lower_ascii(name)] = value;
    const Says says = answer(s);
    if (says.sent && request.sent) *request.sent = true;
    if (says.sent) seen.push_back(std::move(s));
    const MonoTime end = says.silent ? MonoTime::max() : loop.clock().mono() + says.takes;
    const auto cancelled = [&] { return cancel && cancel->cancelled(); };
    while (loop.clock().mono() < end && !cancelled()) co_await SleepUntil(loop, std::min(end, loop.clock().mono() + std::chrono::milliseconds(10)));
    if (cancelled()) co_return fail(ErrorCode::caller_cancelled, "cancelled");
    if (says.error) co_return fail(*says.error);
    auto response = std::make_unique<Response>();
    response->body = says.body;
    response->h.status = says.status;
    for (const auto& [name, value] : says.headers) response->h.headers.add(name, value);
    co_return std::unique_ptr<net::ClientResponse>(std::move(response));
  }

 private:
  struct Response final : net::ClientResponse {
    net::ResponseHead h;
    std::string body;
    bool given = false;
    const net::ResponseHead& head() const override { return h; }
    Task<Result<std::string_view>> read_some(net::Deadline) override {
      co_return std::exchange(given, true) ? std::string_view() : std::string_view(body);
    }
  };
};

inline Error unreachable(std::string message = "connection refused") { return Error{ErrorCode::provider_unreachable, std::move(message), {}, true, {}, {}, {}, {}}; }

}  // namespace ballast::test
