#include "net/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/thread.hpp"

namespace ballast::net {

Resolved Resolver::ask_system(const std::string& host, std::uint16_t port) {
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

IpAddress ip_of(const Address& address) {
  IpAddress ip;
  if (address.data()->sa_family == AF_INET) {
    std::memcpy(ip.bytes.data(), &reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr, 4);
  } else if (address.data()->sa_family == AF_INET6) {
    ip.v6 = true;
    std::memcpy(ip.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr, 16);
  }
  return ip;
}

struct Resolver::Desk {
  struct Question {
    Loop* loop;
    std::string host;
    std::uint16_t port;
    std::function<void(Resolved)> done;
  };

  explicit Desk(Ask a) : ask(std::move(a)) {}
  void work();

  const Ask ask;
  std::mutex mutex;                       // guards the rest
  std::condition_variable asked;
  std::deque<Question> questions;
  unsigned threads = 0, idle = 0;
  bool stopping = false;
};

void Resolver::Desk::work() {
  name_this_thread("resolver");
  std::unique_lock lock(mutex);
  for (;;) {
    ++idle;
    asked.wait(lock, [this] { return stopping || !questions.empty(); });
    --idle;
    if (stopping) return;
    Question question = std::move(questions.front());
    questions.pop_front();
    lock.unlock();
    Resolved found = ask(question.host, question.port);
    lock.lock();
    if (stopping) return;                 // its loop may be gone
    question.loop->post([done = std::move(question.done), found = std::move(found)] { done(found); });
  }
}

Resolver::Resolver(Ask ask) : desk_(std::make_shared<Desk>(std::move(ask))) {}

Resolver::~Resolver() {
  const std::lock_guard lock(desk_->mutex);
  desk_->stopping = true;
  desk_->questions.clear();
  desk_->asked.notify_all();
}

void Resolver::resolve(Loop& loop, std::string host, std::uint16_t port, std::function<void(Resolved)> done) {
  const std::lock_guard lock(desk_->mutex);
  desk_->questions.push_back({&loop, std::move(host), port, std::move(done)});
  if (desk_->questions.size() > desk_->idle && desk_->threads < kThreads) {
    ++desk_->threads;
    std::thread([desk = desk_] { desk->work(); }).detach();
  }
  desk_->asked.notify_one();
}

}  // namespace ballast::net
