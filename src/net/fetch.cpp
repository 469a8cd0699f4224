#include "net/fetch.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"

namespace ballast::net {
namespace {

// Cancelled by the caller, or by its own timer.
class Limited {
 public:
  Limited(Scheduler& loop, Duration total, CancelToken parent) : source_(parent) {
    loop.arm(timer_, loop.clock().mono() + total, [](void* self) {
      auto& limited = *static_cast<Limited*>(self);
      limited.late_ = true;
      limited.source_.cancel();
    }, this);
  }
  CancelToken token() { return &source_; }
  // The error of an exchange that was cut by the timer says so.
  Error told(Error error) const {
    if (!late_ || error.code != ErrorCode::caller_cancelled) return error;
    return {.code = ErrorCode::provider_timeout, .message = "the answer was not whole in time (total timer)", .field = "total", .retryable = true};
  }

 private:
  ChildCancelSource source_;
  Timer timer_;
  bool late_ = false;
};

std::unexpected<Error> bad(std::string message) {
  return fail(Error{.code = ErrorCode::provider_bad_response, .message = std::move(message), .field = {}});
}

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

// "/a/b/../c" → "/a/c" (RFC 3986, section 5.2.4); the query is left alone.
std::string without_dot_segments(std::string_view target) {
  const auto query = target.find('?');
  std::string_view path = target.substr(0, query);
  std::vector<std::string_view> kept;
  bool folder = false;
  for (const auto segment : split(path.substr(1), '/')) {
    folder = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!folder) kept.push_back(segment);
  }
  std::string out;
  for (const auto segment : kept) (out += '/') += segment;
  if (folder || out.empty()) out += '/';
  if (query != target.npos) out += target.substr(query);
  return out;
}

// The request as the next hop is to see it.
Result<void> redirect(FetchRequest& request, Url& url, int status, const Headers& answered) {
  auto next = resolve_location(url, answered.get("location"));
  if (!next) return bad("the answer redirects to a place that is no URL");
  if (url.origin.tls && !next->origin.tls)
    return fail(ErrorCode::policy_egress_denied, "requests to " + url.origin.host + " are not allowed: it redirects from https to http", url.origin.authority);
  const bool other_origin = !(next->origin == url.origin);
  const bool becomes_get = status == 303 ? request.method != "HEAD" : status <= 302 && request.method == "POST";
  if (becomes_get) {
    request.method = "GET";
    request.body = {};
  }
  Headers kept;
  for (const auto& [name, value] : request.headers) {
    const bool of_body = istarts_with(name, "content-");
    const bool harmless = iequals(name, "content-type") || iequals(name, "content-language") || iequals(name, "accept") ||
                          iequals(name, "accept-language") || iequals(name, "user-agent");
    if ((!other_origin || harmless) && !(becomes_get && of_body)) kept.add(name, value);
  }
  request.headers = std::move(kept);
  url = std::move(*next);
  return {};
}

Task<Result<Fetched>> follow(Transport& transport, Scheduler& loop, FetchRequest request, FetchLimits limits, Url url, CancelToken token) {
  const Timeouts timeouts{.connect = std::min(limits.connect, limits.total), .headers = limits.total};
  for (unsigned hop = 0;; ++hop) {
    const std::string_view pieces[] = {request.body};
    ClientRequest sent{.method = request.method, .url = &url, .headers = request.headers, .replay_safe = request.replay_safe,
                       .fresh = request.fresh, .sent = request.sent};
    sent.headers.set("accept-encoding", "identity");
    if (!request.body.empty()) sent.body = Pieces(pieces);
    auto answer = co_await transport.send(loop, sent, timeouts, token);
    if (!answer) co_return fail(std::move(answer.error()));
    const ResponseHead& head = (*answer)->head();
    if (limits.redirects != 0 && is_redirect(head.status) && head.headers.has("location")) {
      if (hop >= std::min(limits.redirects, kMostRedirects)) co_return bad("the answer redirects once too often");
      if (auto moved = redirect(request, url, head.status, head.headers); !moved) co_return fail(std::move(moved.error()));
      continue;
    }
    Fetched got{.status = head.status, .headers = head.headers, .url = to_string(url)};
    if (limits.body_bytes == 0) co_return got;
    const auto coding = head.headers.get("content-encoding");
    if (!coding.empty() && !iequals(coding, "identity")) co_return bad("the answer is compressed, though none was asked to be");
    auto body = co_await (*answer)->read_all(limits.body_bytes, no_deadline);
    if (!body) co_return fail(std::move(body.error()));
    got.body = std::move(*body);
    co_return got;
  }
}

}  // namespace

Result<Url> resolve_location(const Url& base, std::string_view location) {
  location = trim(location);
  location = location.substr(0, location.find('#'));
  const std::string scheme = base.origin.tls ? "https:" : "http:";
  const std::string origin = scheme + "//" + base.origin.authority;
  const auto colon = location.find(':');
  if (colon != location.npos && colon < location.find_first_of("/?")) return parse_url(location, "location");
  if (location.empty()) return base;
  if (location.starts_with("//")) return parse_url(scheme + std::string(location), "location");
  const std::string_view here = std::string_view(base.target).substr(0, base.target.find('?'));
  std::string target;
  if (location[0] == '/') target = location;
  else if (location[0] == '?') target = std::string(here) + std::string(location);
  else target = std::string(here.substr(0, here.rfind('/') + 1)) + std::string(location);
  return parse_url(origin + without_dot_segments(target), "location");
}

Task<Result<Fetched>> fetch(Transport& transport, Scheduler& loop, FetchRequest request, FetchLimits limits, CancelToken cancel) {
  auto url = parse_url(request.url);
  if (!url) co_return fail(std::move(url.error()));
  Limited limited(loop, limits.total, cancel);
  auto got = co_await follow(transport, loop, std::move(request), limits, std::move(*url), limited.token());
  if (!got) co_return fail(limited.told(std::move(got.error())));
  co_return got;
}

}  // namespace ballast::net
