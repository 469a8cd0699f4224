#include "base/log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/json.hpp"
#include "base/thread.hpp"

namespace ballast::log {
namespace {

constexpr std::array<std::string_view, 5> level_names = {"debug", "info", "warn", "error", "off"};

// Held for a few hundred nanoseconds by the thread that owns the buffer, and by the flusher for a swap.
class SpinLock {
 public:
  void lock() {
    while (!try_lock()) ::sched_yield();
  }
  bool try_lock() { return !held_.exchange(true, std::memory_order_acquire); }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

struct ThreadBuffer {
  SpinLock lock;
  std::string lines;             // under lock
  bool ended = false;            // under lock: its thread is gone
  bool asked = false;            // under lock: the flusher was woken for this fill
  std::string writing;           // under State::sink
  std::int64_t second = -1;      // the owner's cache of the timestamp's first 20 characters
  std::array<char, 20> stamp{};
};

// Lock order: sink, buffers, ThreadBuffer::lock. Never destroyed: threads may log until the process is gone.
struct State {
  std::atomic<bool> buffered{false};
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<std::size_t> limit{4u << 20};
  std::atomic<const Clock*> clock{nullptr};

  std::mutex sink;               // what follows, and every write to the file
  int fd = STDERR_FILENO;
  bool owns_fd = false;
  std::string path;
  std::uint64_t reported = 0;

  std::mutex buffers;
  std::vector<std::shared_ptr<ThreadBuffer>> all;

  std::mutex control;            // start and stop
  std::mutex waking;
  std::condition_variable wake;
  bool work = false;             // under waking
  bool ending = false;           // under waking
  std::thread flusher;           // under control
};
State& state() {
  static State* const s = new State;
  return *s;
}

constinit std::atomic<Level> threshold{Level::info};
constinit thread_local ThreadBuffer* mine = nullptr;
constinit thread_local bool thread_ended = false;

struct Holder {
  std::shared_ptr<ThreadBuffer> buffer;
  ~Holder() {
    thread_ended = true;
    mine = nullptr;
    if (!buffer) return;
    std::lock_guard lock(buffer->lock);
    buffer->ended = true;
  }
};
thread_local Holder holder;

ThreadBuffer* my_buffer() {
  if (mine || thread_ended) return mine;
  auto fresh = std::make_shared<ThreadBuffer>();
  fresh->lines.reserve(16384);
  State& s = state();
  std::lock_guard lock(s.buffers);
  s.all.push_back(fresh);
  holder.buffer = fresh;
  return mine = fresh.get();
}

std::uint64_t count_lines(std::string_view bytes) { return static_cast<std::uint64_t>(std::ranges::count(bytes, '\n')); }

// All of `bytes`, or counts what is lost: a log that cannot be written must not stop the process. Async-signal-safe.
void write_all(State& s, int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    pollfd p{.fd = fd, .events = POLLOUT, .revents = 0};
    if (n < 0 && errno == EAGAIN && ::poll(&p, 1, 1000) > 0 && (p.revents & POLLOUT)) continue;
    s.dropped.fetch_add(count_lines(bytes), std::memory_order_relaxed);
    return;
  }
}

// Under State::sink.
void drain(State& s, ThreadBuffer& b) {
  {
    std::lock_guard lock(b.lock);
    if (b.lines.empty()) return;
    b.lines.swap(b.writing);
    b.asked = false;
  }
  write_all(s, s.fd, b.writing);
  b.writing.clear();
}

void append_time(std::string& out, WallTime now, ThreadBuffer* cache) {
  const std::int64_t ms = unix_ms(now);
  const std::int64_t second = ms >= 0 ? ms / 1000 : -1;
  if (!cache || second < 0) {
    out += to_rfc3339(now);
    return;
  }
  if (cache->second != second) {
    cache->second = second;
    const auto text = to_rfc3339(now);
    std::copy_n(text.begin(), cache->stamp.size(), cache->stamp.begin());  // "2026-11-21T04:01:12."
  }
  out.append(cache->stamp.data(), cache->stamp.size());
  const auto rest = static_cast<unsigned>(ms % 1000);
  const char digits[] = {static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10), static_cast<char>('0' + rest % 10), 'Z'};
  out.append(digits, sizeof digits);
}

WallTime wall_now(State& s) {
  const Clock* clock = s.clock.load(std::memory_order_acquire);
  return clock ? clock->wall() : SystemClock().wall();
}

void append_line(std::string& out, WallTime now, ThreadBuffer* cache, Level level, std::string_view event, Fields fields) {
  out += "{\"time\":\"";
  append_time(out, now, cache);
  out += "\",\"level\":\"";
  out += to_string(level);
  out += "\",\"event\":";
  append_json_string(out, event);
  for (const auto& f : fields) {
    out += ",\"";
    out += f.key;
    out += "\":";
    f.value.append_to(out);
  }
  out += "}\n";
}

// Appends through `f(std::string&)`; false when the log is not buffered now.
template <class F>
bool append_buffered(State& s, ThreadBuffer& b, F&& f) {
  bool ask = false;
  {
    std::lock_guard lock(b.lock);
    if (!s.buffered.load(std::memory_order_relaxed)) return false;
    const std::size_t limit = s.limit.load(std::memory_order_relaxed);
    const std::size_t before = b.lines.size();
    f(b.lines);
    if (b.lines.size() > limit) {
      b.lines.resize(before);
      s.dropped.fetch_add(1, std::memory_order_relaxed);
    }
    if (b.lines.size() > limit / 2 && !b.asked) ask = b.asked = true;
  }
  if (ask) {
    std::lock_guard lock(s.waking);
    s.work = true;
    s.wake.notify_one();
  }
  return true;
}

void flush_all(State& s) {
  std::lock_guard sink(s.sink);
  std::vector<std::shared_ptr<ThreadBuffer>> all;
  {
    std::lock_guard lock(s.buffers);
    all = s.all;
  }
  bool any_ended = false;
  for (auto& b : all) {
    drain(s, *b);
    std::lock_guard lock(b->lock);
    any_ended = any_ended || b->ended;
  }
  if (any_ended) {
    std::lock_guard lock(s.buffers);
    std::erase_if(s.all, [](const auto& b) {
      std::lock_guard hold(b->lock);
      return b->ended && b->lines.empty();
    });
  }
  const auto lost = s.dropped.load(std::memory_order_relaxed);
  if (lost > s.reported) {
    std::string line;
    append_line(line, wall_now(s), nullptr, Level::warn, "log_dropped", {{"lines", lost - s.reported}});
    s.reported = lost;
    write_all(s, s.fd, line);
  }
}

void flush_loop(State& s, std::chrono::milliseconds every) {
  name_this_thread("log");
  for (bool ending = false; !ending;) {
    {
      std::unique_lock lock(s.waking);
      s.wake.wait_for(lock, every, [&] { return s.work || s.ending; });
      s.work = false;
      ending = s.ending;
    }
    flush_all(s);
  }
}

int open_sink(const std::string& path) { return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640); }

void stop_flusher(State& s) {
  if (!s.flusher.joinable()) return;
  {
    std::lock_guard lock(s.waking);
    s.ending = true;
    s.wake.notify_one();
  }
  s.flusher.join();
  s.ending = false;
}

}  // namespace

std::string_view to_string(Level level) { return level_names[static_cast<std::size_t>(level)]; }

std::optional<Level> level_from(std::string_view name) {
  for (std::size_t i = 0; i < level_names.size(); ++i)
    if (level_names[i] == name) return static_cast<Level>(i);
  return std::nullopt;
}

void Value::append_to(std::string& out) const {
  char text[32];
  switch (kind_) {
    case Kind::text: return append_json_string(out, text_);
    case Kind::raw: out += text_; return;
    case Kind::boolean: out += natural_ ? "true" : "false"; return;
    case Kind::integer: out.append(text, std::to_chars(text, text + sizeof text, integer_).ptr); return;
    case Kind::natural: out.append(text, std::to_chars(text, text + sizeof text, natural_).ptr); return;
    case Kind::real:
      if (std::isfinite(real_)) out.append(text, std::to_chars(text, text + sizeof text, real_).ptr);
      else out += "null";
  }
}

Result<void> start(Options options) {
  State& s = state();
  std::lock_guard control(s.control);
  int fd = STDOUT_FILENO;
  const bool is_path = options.file != "-" && options.file != "stderr";
  if (options.file == "stderr") fd = STDERR_FILENO;
  if (is_path && (fd = open_sink(options.file)) < 0)
    return fail(ErrorCode::internal_unavailable, "cannot open the log file " + options.file + ": " + std::string(std::strerror(errno)), "log.file");
  stop_flusher(s);
  flush_all(s);
  {
    std::lock_guard sink(s.sink);
    if (s.owns_fd) ::close(s.fd);
    s.fd = fd;
    s.owns_fd = is_path;
    s.path = is_path ? options.file : "";
  }
  s.limit = options.buffer_bytes;
  s.clock.store(options.clock, std::memory_order_release);
  threshold = options.level;
  s.buffered = true;
  s.flusher = std::thread([&s, every = options.flush_every] { flush_loop(s, every); });
  static const int registered = std::atexit(stop);
  static_cast<void>(registered);
  return {};
}

void stop() {
  State& s = state();
  std::lock_guard control(s.control);
  stop_flusher(s);
  s.buffered = false;  // a writer that saw it true holds its buffer's lock, which the last flush takes
  flush_all(s);
  s.clock.store(nullptr, std::memory_order_release);
  std::lock_guard sink(s.sink);
  if (s.owns_fd) ::close(s.fd);
  s.fd = STDERR_FILENO;
  s.owns_fd = false;
}

void flush() { flush_all(state()); }

void reopen() {
  State& s = state();
  std::lock_guard sink(s.sink);
  if (!s.owns_fd) return;
  const int fd = open_sink(s.path);
  if (fd < 0) return;  // keeps writing to the old file
  ::close(s.fd);
  s.fd = fd;
}

void emergency_flush() noexcept {
  State& s = state();
  // Without the locks when they are taken: their owner may be the thread that died.
  const bool sink = s.sink.try_lock();
  if (s.buffers.try_lock()) {
    for (const auto& b : s.all) {
      if (!b->lock.try_lock()) continue;
      write_all(s, s.fd, b->lines);
      b->lines.clear();
      b->lock.unlock();
    }
    s.buffers.unlock();
  }
  if (sink) s.sink.unlock();
}

std::uint64_t dropped() { return state().dropped.load(std::memory_order_relaxed); }
void set_level(Level level) { threshold.store(level, std::memory_order_relaxed); }
bool enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

void write(Level level, std::string_view event, Fields fields) {
  State& s = state();
  const auto now = wall_now(s);
  if (s.buffered.load(std::memory_order_relaxed)) {
    if (ThreadBuffer* b = my_buffer()) {
      if (append_buffered(s, *b, [&](std::string& out) { append_line(out, now, b, level, event, fields); })) {
        if (level >= Level::error) {
          std::lock_guard sink(s.sink);
          drain(s, *b);
        }
        return;
      }
    }
  }
  std::string line;
  append_line(line, now, nullptr, level, event, fields);
  std::lock_guard sink(s.sink);
  write_all(s, s.fd, line);
}

void append_time(std::string& out, WallTime at) { append_time(out, at, my_buffer()); }

void access(std::string_view line) {
  if (!enabled(Level::info)) return;
  State& s = state();
  if (s.buffered.load(std::memory_order_relaxed)) {
    if (ThreadBuffer* b = my_buffer()) {
      const bool done = append_buffered(s, *b, [&](std::string& out) {
        out.append(line);
        out += '\n';
      });
      if (done) return;
    }
  }
  std::string whole(line);
  whole += '\n';
  std::lock_guard sink(s.sink);
  write_all(s, s.fd, whole);
}

}  // namespace ballast::log
