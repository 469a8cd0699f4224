#include "net/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "base/thread.hpp"

namespace ballast::net {
namespace {

Resolved ask(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  Resolved out;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed) {
    out.failure = failed == EAI_SYSTEM ? std::generic_category().message(errno) : ::gai_strerror(failed);
    return out;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  for (const auto* a = found; a; a = a->ai_next) {
    if (a->ai_addrlen > sizeof(sockaddr_storage)) continue;
    auto& address = out.addresses.emplace_back();
    std::memcpy(&address.storage, a->ai_addr, a->ai_addrlen);
    address.size = a->ai_addrlen;
  }
  if (out.addresses.empty()) out.failure = "the name has no address";
  return out;
}

}  // namespace

std::optional<Address> literal_address(const std::string& host, std::uint16_t port) {
  Address address;
  if (auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage); ::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    address.size = sizeof v4;
    return address;
  }
  address = {};
  if (auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage); ::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    address.size = sizeof v6;
    return address;
  }
  return std::nullopt;
}

Resolver::~Resolver() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  asked_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Resolver::resolve(Loop& loop, std::string host, std::uint16_t port, std::function<void(Resolved)> done) {
  const std::lock_guard lock(mutex_);
  questions_.push_back({&loop, std::move(host), port, std::move(done)});
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  asked_.notify_one();
}

void Resolver::work() {
  name_this_thread("resolver");
  for (;;) {
    Question question;
    {
      std::unique_lock lock(mutex_);
      asked_.wait(lock, [this] { return stopping_ || !questions_.empty(); });
      if (stopping_) return;
      question = std::move(questions_.front());
      questions_.pop_front();
    }
    auto found = ask(question.host, question.port);
    question.loop->post([done = std::move(question.done), found = std::move(found)] { done(found); });
  }
}

}  // namespace ballast::net
