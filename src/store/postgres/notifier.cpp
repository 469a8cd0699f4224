#include "store/notifier.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/text.hpp"
#include "base/thread.hpp"
#include "store/drivers.hpp"
#include "store/postgres/connection.hpp"
#include "store/postgres/silence.hpp"

namespace ballast::store {

namespace {

using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr milliseconds kLook{1'000};                     // how often a silent connection is asked whether it still stands
constexpr std::size_t kSentAtOnce = 500;
const std::string kSay = "SELECT pg_notify($1, $2)";

class Silent final : public Notifier {
 public:
  void say(std::string_view) override {}
  std::uint64_t hear(std::string, Heard) override { return 0; }
  void unhear(std::uint64_t) override {}
  Stats stats() const override { return {}; }
};

class PostgresNotifier final : public Notifier {
 public:
  PostgresNotifier(std::string url, NotifierOptions options) : url_(std::move(url)), options_(std::move(options)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~PostgresNotifier() override {
    thread_.request_stop();
    wake();
    thread_.join();
    ::close(wake_);
  }

  void say(std::string_view word) override {
    const bool fits = word.size() <= kLongestWord && is_utf8(word) && !word.contains('\0');
    bool first = false;
    {
      std::lock_guard lock(mutex_);
      if (!fits || waiting_.size() >= kMostWaiting) {
        ++stats_.dropped;
        return;
      }
      first = waiting_.empty();
      waiting_.emplace(word);
      if (first) since_ = std::chrono::steady_clock::now();
    }
    if (first) wake();
  }

  std::uint64_t hear(std::string prefix, Heard heard) override {
    std::lock_guard lock(mutex_);
    listeners_.push_back({++last_listener_, std::move(prefix), std::make_shared<Heard>(std::move(heard))});
    return last_listener_;
  }
  void unhear(std::uint64_t id) override {
    std::unique_lock lock(mutex_);
    std::erase_if(listeners_, [&](const Listener& l) { return l.id == id; });
    told_.wait(lock, [&] { return telling_ != id; });
  }
  Stats stats() const override {
    std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  struct Listener {
    std::uint64_t id = 0;
    std::string prefix;
    std::shared_ptr<Heard> heard;
  };

  void wake() const {
    const std::uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof one);
  }
  void slept() const {
    std::uint64_t count = 0;
    (void)!::read(wake_, &count, sizeof count);
  }

  void serve(const std::stop_token& stop) {
    name_this_thread("db-notify");
    milliseconds pause{50};
    while (!stop.stop_requested()) {
      const auto ended = stay_connected(stop, pause);
      set_connected(false);
      if (ended || stop.stop_requested()) return;
      std::unique_lock lock(mutex_);
      told_.wait_for(lock, stop, pause, [] { return false; });
      pause = std::min(pause * 2, milliseconds(2'000));
    }
  }

  // Until the connection is lost, or told to stop.
  Result<void> stay_connected(const std::stop_token& stop, milliseconds& pause) {
    auto connection = PostgresConnection::open(url_, options_.connect_timeout, &silence_);
    if (!connection) return std::unexpected(connection.error());
    PostgresConnection& c = **connection;
    const auto channel = listen(c);
    if (!channel) return std::unexpected(channel.error());
    pause = milliseconds(50);
    set_connected(true);
    tell("");
    SteadyTime looked = std::chrono::steady_clock::now();
    while (!stop.stop_requested()) {
      auto heard = c.words(wake_, next_sending());
      slept();
      if (!heard) return std::unexpected(heard.error());
      for (const std::string& word : *heard) tell(word);
      if (auto sent = send_due(c, *channel); !sent) return sent;
      const SteadyTime now = std::chrono::steady_clock::now();
      if (now - looked < kLook) continue;
      looked = now;
      const Silence::Waiting waiting(silence_, c.socket());
      if (auto stands = c.simple("SELECT 1"); !stands) return std::unexpected(stands.error());
    }
    return {};
  }

  // The channel's name.
  Result<std::string> listen(PostgresConnection& c) {
    const Silence::Waiting waiting(silence_, c.socket());
    const auto schema = c.simple("SELECT current_schema()");
    if (!schema) return schema;
    std::string channel = options_.channel + "." + *schema, quoted = "\"";
    for (const char letter : channel) quoted.append(letter == '"' ? 2 : 1, letter);
    if (auto listening = c.simple("LISTEN " + quoted + "\""); !listening) return listening;
    return channel;
  }

  milliseconds next_sending() const {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) return kLook;
    const auto left = since_ + options_.gather - std::chrono::steady_clock::now();
    return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(left));
  }

  Result<void> send_due(PostgresConnection& c, const std::string& channel) {
    std::set<std::string, std::less<>> words;
    {
      std::lock_guard lock(mutex_);
      if (waiting_.empty() || std::chrono::steady_clock::now() < since_ + options_.gather) return {};
      words.swap(waiting_);
    }
    const Silence::Waiting waiting(silence_, c.socket());
    for (auto at = words.begin(); at != words.end();) {
      Batch batch(2);
      for (std::size_t n = 0; n < kSentAtOnce && at != words.end(); ++n, ++at) batch.add({channel, *at});
      if (auto sent = send(c, batch); !sent) return sent;
      std::lock_guard lock(mutex_);
      stats_.said += batch.size();
    }
    return {};
  }

  static Result<void> send(PostgresConnection& c, const Batch& batch) {
    if (auto begun = c.begin(false); !begun) return begun;
    if (auto said = c.run_many(kSay, batch); !said) return std::unexpected(said.error());
    auto done = c.commit();
    return done ? Result<void>{} : std::unexpected(done.error());
  }

  void tell(const std::string& word) {
    std::vector<Listener> whom;
    {
      std::lock_guard lock(mutex_);
      if (!word.empty()) ++stats_.heard;
      whom = listeners_;
    }
    for (const Listener& l : whom) {
      if (!word.empty() && !word.starts_with(l.prefix)) continue;
      {
        std::lock_guard lock(mutex_);
        if (std::ranges::none_of(listeners_, [&](const Listener& now) { return now.id == l.id; })) continue;
        telling_ = l.id;
      }
      (*l.heard)(word);
      {
        std::lock_guard lock(mutex_);
        telling_ = 0;
      }
      told_.notify_all();
    }
  }

  void set_connected(bool now) {
    std::lock_guard lock(mutex_);
    if (now) ++stats_.connects;
    stats_.connected = now;
  }

  const std::string url_;
  const NotifierOptions options_;
  const int wake_;
  mutable std::mutex mutex_;
  std::condition_variable_any told_;
  std::set<std::string, std::less<>> waiting_;
  SteadyTime since_{};                                   // the first of them came
  std::vector<Listener> listeners_;
  std::uint64_t last_listener_ = 0, telling_ = 0;        // 0: nobody
  Stats stats_;
  Silence silence_{system_clock(), [this] { return PostgresConnection::answers(url_, options_.connect_timeout); }};
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<Notifier> open_notifier(std::string_view url, NotifierOptions options) {
  if (url.starts_with("postgres://") || url.starts_with("postgresql://")) return std::make_unique<PostgresNotifier>(std::string(url), std::move(options));
  return std::make_unique<Silent>();
}

}  // namespace ballast::store
