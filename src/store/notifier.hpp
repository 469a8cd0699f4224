// Notifier: short words between the processes of one PostgreSQL database, by LISTEN and NOTIFY.
//
// A word is a hint that something in the tables has changed, never the change itself: it may be late, come twice or not at all. Who listens looks at
// the tables when it hears one, and now and then without. An empty word is said to every listener when the connection stands (again): words may have
// been missed. A process does not hear its own words. With SQLite there is one process, and nothing is said or heard.
//
// A thread and a connection of its own; tables are never touched on it. NOTIFY takes a lock of the whole server at its commit, so words are gathered
// for a while and sent together, each once.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace ballast::store {

class Notifier {
 public:
  static constexpr std::size_t kLongestWord = 1'000;     // bytes
  static constexpr std::size_t kMostWaiting = 10'000;    // words to be said; beyond it they are dropped and counted

  virtual ~Notifier() = default;                         // says nothing more and hears nothing more
  Notifier() = default;
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Any thread; does not wait. A word that is too long, or no UTF-8, or has a NUL, is dropped and counted.
  virtual void say(std::string_view word) = 0;
  // Called on the notifier's thread with every word that begins with `prefix`, whole, and with "". Must not block. `id` is for `unhear`, which
  // returns when no call is under way; not from within one.
  using Heard = std::function<void(std::string_view word)>;
  virtual std::uint64_t hear(std::string prefix, Heard heard) = 0;
  virtual void unhear(std::uint64_t id) = 0;

  struct Stats {
    std::uint64_t said = 0, heard = 0, dropped = 0, connects = 0;
    bool connected = false;
  };
  virtual Stats stats() const = 0;
};

struct NotifierOptions {
  std::string channel = "ballast";                       // of this schema of this database
  std::chrono::milliseconds gather{20};                  // from the first word to its sending
  std::chrono::milliseconds connect_timeout{5'000};
};
// Of a database's URL, as `open_database` takes it. An unreachable server is not an error: it is tried until it answers.
std::unique_ptr<Notifier> open_notifier(std::string_view url, NotifierOptions options = {});

}  // namespace ballast::store
