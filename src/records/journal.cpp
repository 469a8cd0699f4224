#include "records/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <filesystem>
#include <semaphore>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "records/journal_state.hpp"

namespace ballast::records {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxKept = 10'000;
constexpr int kSyncNice = 5;                  // it needs a twentieth of a core at full load, and has a quarter beside a loop that never rests
const SystemClock kSystemClock;

// Room that only outcomes may use.
std::uint64_t reserve_of(const JournalOptions& o) { return o.segment_bytes / 8; }

Result<std::string> journal_id(const std::string& directory, const Clock& clock) {
  const std::string path = directory + "/id";
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    char text[27] = {};
    const ssize_t n = ::read(fd, text, 26);
    ::close(fd);
    if (n == 26 && parse_id({text, 26}, "")) return std::string(text, 26);
  }
  const std::string id = to_string(new_id(clock.wall()), "");
  fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return std::unexpected(system_error(path, errno));
  auto written = write_fully(fd, id, 0, 0);
  if (written && ::fsync(fd) != 0) written = std::unexpected(system_error(path, errno));
  ::close(fd);
  if (!written) return std::unexpected(written.error());
  return id;
}

Result<std::vector<std::pair<FileName, std::string>>> files_in(const std::string& directory) {
  std::vector<std::pair<FileName, std::string>> out;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(directory, ec))
    if (auto name = parse_file_name(entry.path().filename().string())) out.emplace_back(*name, entry.path().string());
  if (ec) return std::unexpected(system_error(directory, ec.value()));
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

Segment::~Segment() {
  if (read_fd >= 0) ::close(read_fd);
}

CallJournal::State::~State() {
  {
    std::lock_guard lock(importer_mutex);
    importer_stopping = true;
  }
  importer_wake.notify_all();
  if (importer.joinable()) importer.join();
  if (helper.joinable()) helper.join();
  for (auto& w : writers) {
    while (!w->kept.empty() && place(*w, w->kept.front(), true)) w->kept.pop_front();
    if (w->current) w->current->sealed = true;
  }
  {
    std::lock_guard lock(sync_mutex);
    stopping = true;
  }
  sync_wake.notify_all();
  if (sync_thread.joinable()) sync_thread.join();
  if (directory_fd >= 0) ::close(directory_fd);
  if (lock_fd >= 0) ::close(lock_fd);
}

CallJournal::CallJournal(std::unique_ptr<State> state) : state_(std::move(state)) {}
CallJournal::~CallJournal() = default;

Result<std::unique_ptr<CallJournal>> CallJournal::open(JournalOptions options) {
  auto s = std::make_unique<State>();
  s->clock = options.clock ? options.clock : &kSystemClock;
  std::error_code ec;
  fs::create_directories(options.directory, ec);
  if (ec) return std::unexpected(system_error("the call journal's directory " + options.directory, ec.value()));
  const std::string lock_path = options.directory + "/lock";
  s->lock_fd = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (s->lock_fd < 0) return std::unexpected(system_error(lock_path, errno));
  if (::flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
    return fail(ErrorCode::internal_unavailable, "the call journal " + options.directory + " is in use by another process");
  s->directory_fd = ::open(options.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (s->directory_fd < 0) return std::unexpected(system_error(options.directory, errno));
  auto id = journal_id(options.directory, *s->clock);
  if (!id) return std::unexpected(id.error());
  s->journal_id = *id;

  auto files = files_in(options.directory);
  if (!files) return std::unexpected(files.error());
  for (auto& [name, path] : *files) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) continue;
    auto segment = std::make_shared<Segment>();
    segment->name = name;
    segment->path = path;
    segment->sealed = true;
    segment->written = segment->synced = static_cast<std::uint64_t>(info.st_size);
    s->file_bytes += segment->written;
    Chain& chain = s->chains[{name.epoch, name.loop}];
    chain.dead = true;
    chain.segments.push_back(std::move(segment));
  }
  s->epoch = options.epoch ? options.epoch : new_id(s->clock->wall());
  while (s->chains.lower_bound({s->epoch, 0}) != s->chains.end() && s->chains.contains({s->epoch, 0})) s->epoch = new_id(s->clock->wall());
  for (unsigned i = 0; i < std::max(1u, options.loops); ++i) {
    auto w = std::make_unique<Writer>();
    w->loop = i;
    w->frame.reserve(4096);
    s->writers.push_back(std::move(w));
  }
  s->level_ns = s->clock->mono().time_since_epoch().count();
  s->options = std::move(options);
  s->sync_thread = std::jthread([state = s.get()] { state->sync_loop(); });
  return std::unique_ptr<CallJournal>(new CallJournal(std::move(s)));
}

Result<void> CallJournal::intent(unsigned loop, const IntentView& intent) {
  assert(loop < state_->writers.size());
  if (state_->sick.load(std::memory_order_relaxed)) [[unlikely]] {
    ++state_->writers[loop]->errors;
    return fail(ErrorCode::internal_unavailable, "the call journal's disk is failing; calls are refused until it works again");
  }
  std::string& frame = state_->writers[loop]->frame;
  frame.resize(kFrameHeader);
  encode(frame, intent);
  return state_->append(loop, FrameType::intent);
}

Result<void> CallJournal::outcome(unsigned loop, const CallRecord& record) {
  assert(loop < state_->writers.size());
  std::string& frame = state_->writers[loop]->frame;
  frame.resize(kFrameHeader);
  encode(frame, record);
  return state_->append(loop, FrameType::outcome);
}

Result<void> CallJournal::State::append(unsigned loop, FrameType type) {
  Writer& w = *writers[loop];
  if (w.frame.size() > kMaxFrame) return fail(ErrorCode::caller_too_large, "a call's record is larger than 16 MiB");
  seal_frame(w.frame, type);
  while (!w.kept.empty()) {
    if (!place(w, w.kept.front(), true)) break;
    w.kept.pop_front();
    w.kept_count = w.kept.size();
  }
  auto placed = place(w, w.frame, type == FrameType::outcome);
  if (!placed) {
    w.errors.fetch_add(1, std::memory_order_relaxed);
    if (type == FrameType::outcome && w.kept.size() < kMaxKept) {
      w.kept.push_back(w.frame);
      w.kept_count = w.kept.size();
    }
  }
  if (w.frame.capacity() > (1u << 20)) w.frame = {};
  return placed;
}

// Writes the frame into the writer's file, or into a new one when it is full. A failed write leaves the offset where it was: what got
// through is overwritten by the next frame.
Result<void> CallJournal::State::place(Writer& w, std::string_view frame, bool is_outcome) {
  const std::uint64_t room = options.segment_bytes - (is_outcome ? 0 : reserve_of(options));
  const std::uint64_t resume = w.current ? w.current->resume.load(std::memory_order_relaxed) : 0;
  if (w.offset < resume && resume + kSkipFrame + frame.size() <= room)
    if (auto left = leave_page(w, resume); !left) return left;
  if (!w.current || w.offset + frame.size() > room || w.rotate.load(std::memory_order_relaxed)) {
    auto opened = open_segment(w);
    if (!opened && (!is_outcome || !w.current || w.rotate)) return opened;  // an outcome may outgrow the old file instead
  }
  auto written = w.current->file.write(frame, w.offset, injected_write.load(std::memory_order_relaxed));
  if (!written) return written;
  w.offset += frame.size();
  w.current->written.store(w.offset, std::memory_order_release);
  w.records.fetch_add(1, std::memory_order_relaxed);
  w.bytes.fetch_add(frame.size(), std::memory_order_relaxed);
  return {};
}

// On to `resume`, and a word there why nothing stands before it.
Result<void> CallJournal::State::leave_page(Writer& w, std::uint64_t resume) {
  skip_frame(w.skip, w.offset);
  auto written = w.current->file.write(w.skip, resume, injected_write.load(std::memory_order_relaxed));
  if (written) w.offset = resume + kSkipFrame;
  return written;
}

Result<void> CallJournal::State::open_segment(Writer& w) {
  if (const int e = injected_write.load(std::memory_order_relaxed)) return std::unexpected(system_error("the call journal cannot be written", e));
  if (file_bytes.load() + options.segment_bytes > options.max_bytes)
    return fail(ErrorCode::internal_unavailable, "the call journal has reached its limit (max_bytes): is the database down?");
  auto segment = std::make_shared<Segment>();
  segment->name = {epoch, w.loop, w.next_sequence};
  segment->path = options.directory + "/" + to_string(segment->name);
  if (auto made = segment->file.create(segment->path, options.segment_bytes); !made) return made;
  ++w.next_sequence;
  file_bytes += options.segment_bytes;
  directory_dirty = true;
  std::lock_guard lock(files_mutex);
  if (w.current) w.current->sealed.store(true, std::memory_order_release);
  chains[{epoch, w.loop}].segments.push_back(segment);
  w.current = std::move(segment);
  w.offset = 0;
  w.rotate = false;
  {
    const std::lock_guard syncing(sync_mutex);
    unprepared = true;
  }
  sync_wake.notify_one();
  return {};
}

Task<Result<void>> CallJournal::sync(Scheduler& loop) {
  struct Awaiter {
    State& state;
    Scheduler& loop;
    Result<void> result;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      std::lock_guard lock(state.sync_mutex);
      state.sync_waiters.push_back([this, h](Result<void> r) {
        result = std::move(r);
        loop.resume(h);
      });
      state.sync_wake.notify_one();
    }
    Result<void> await_resume() { return std::move(result); }
  };
  Awaiter awaiter{*state_, loop, {}};
  Result<void> result = co_await awaiter;
  co_return result;
}

Result<void> CallJournal::sync_now() {
  std::binary_semaphore done{0};
  Result<void> result;
  {
    std::lock_guard lock(state_->sync_mutex);
    state_->sync_waiters.push_back([&](Result<void> r) {
      result = std::move(r);
      done.release();
    });
    state_->sync_wake.notify_one();
  }
  done.acquire();
  return result;
}

void CallJournal::State::sync_loop() {
  name_this_thread("journal-sync");
  ::setpriority(PRIO_PROCESS, 0, kSyncNice);   // Linux: of the calling thread
  for (bool last = false; !last;) {
    std::vector<std::function<void(Result<void>)>> waiters;
    bool prepare = false;
    {
      std::unique_lock lock(sync_mutex);
      const auto ready = [&] { return stopping || !sync_waiters.empty() || unprepared; };
      if (options.sync_every.count() > 0) sync_wake.wait_for(lock, options.sync_every, ready);
      else sync_wake.wait(lock, ready);
      waiters.swap(sync_waiters);
      last = stopping;
      prepare = std::exchange(unprepared, false) && waiters.empty() && !last;
    }
    if (prepare) {
      for (auto& segment : open_segments())
        if (!segment->sealed.load(std::memory_order_acquire)) segment->file.prepare(segment->written.load(std::memory_order_acquire));
      continue;
    }
    if (sick) probe();
    auto result = sync_pass();
    if (result && sick) result = fail(ErrorCode::internal_unavailable, "the call journal's disk is failing");
    for (auto& done : waiters) done(result);
  }
}

std::vector<SegmentPtr> CallJournal::State::open_segments() {
  std::vector<SegmentPtr> out;
  std::lock_guard lock(files_mutex);
  for (auto& [key, chain] : chains)
    if (!chain.dead)
      for (auto& segment : chain.segments)
        if (segment->file.is_open()) out.push_back(segment);
  return out;
}

Result<void> CallJournal::State::sync_pass() {
  Result<void> result;
  for (auto& segment : open_segments()) {
    const bool sealed = segment->sealed.load(std::memory_order_acquire);
    const std::uint64_t written = segment->written.load(std::memory_order_acquire);
    if (!sealed) segment->file.prepare(written);
    if (written > segment->synced) {
      int e = injected_sync.load(std::memory_order_relaxed);
      if (!sealed) segment->resume.store(segment->file.next_page(written), std::memory_order_relaxed);
      if (!e) e = segment->file.sync(segment->synced, written);
      if (e) {
        // What the kernel failed to write it may have dropped: this file is never trusted again.
        result = std::unexpected(system_error("the call journal cannot be synced", e));
        if (!sick.exchange(true)) log::error("journal_sync_failed", {{"file", segment->path}, {"error", result.error().message}});
        for (auto& w : writers) w->rotate = true;
      } else {
        syncs.fetch_add(1, std::memory_order_relaxed);
      }
      segment->synced = written;
    }
    if (sealed && segment->written.load(std::memory_order_acquire) == segment->synced) {
      if (segment->written < options.segment_bytes) file_bytes -= options.segment_bytes - segment->written;
      std::lock_guard lock(files_mutex);
      segment->file.finish(segment->written);
    }
  }
  if (directory_dirty.exchange(false) && ::fsync(directory_fd) != 0) result = std::unexpected(system_error("the call journal's directory cannot be synced", errno));
  return result;
}

// Does the disk take bytes again?
void CallJournal::State::probe() {
  const std::string path = options.directory + "/probe";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const std::string page(4096, '.');
  const bool good = injected_sync == 0 && write_fully(fd, page, 0, injected_write) && ::fdatasync(fd) == 0;
  ::close(fd);
  ::unlink(path.c_str());
  if (!good) return;
  log::warn("journal_sync_recovered", {{"directory", options.directory}});
  sick = false;
}

void CallJournal::on_imported(std::function<void(std::string_view)> listener) {
  std::lock_guard lock(state_->import_mutex);
  state_->listener = std::move(listener);
}

void CallJournal::on_went_back(std::function<void()> listener) {
  std::lock_guard lock(state_->import_mutex);
  state_->went_back_listener = std::move(listener);
}

void CallJournal::inject(int write_errno, int sync_errno) {
  state_->injected_write = write_errno;
  state_->injected_sync = sync_errno;
}

const std::string& CallJournal::id() const { return state_->journal_id; }

CallJournal::Stats CallJournal::stats() const {
  Stats out;
  for (const auto& w : state_->writers) {
    out.written_records += w->records;
    out.written_bytes += w->bytes;
    out.write_errors += w->errors;
    out.kept_outcomes += w->kept_count;
  }
  out.syncs = state_->syncs;
  out.imported_calls = state_->imported;
  out.unknown_calls = state_->unknowns;
  out.behind_bytes = state_->behind_bytes();
  out.behind = out.behind_bytes ? state_->behind() : Duration{};
  out.in_flight = state_->in_flight;
  out.damaged_bytes = state_->damaged;
  out.file_bytes = state_->file_bytes;
  out.import_errors = state_->import_errors;
  out.failing = state_->sick;
  std::lock_guard lock(state_->files_mutex);
  for (const auto& [key, chain] : state_->chains) out.files += chain.segments.size();
  return out;
}

Result<std::uint64_t> CallJournal::read_directory(const std::string& directory, const Seen& seen) {
  auto files = files_in(directory);
  if (!files) return std::unexpected(files.error());
  std::uint64_t damaged = 0;
  for (const auto& [name, path] : *files) {
    Segment segment;
    segment.read_fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (segment.read_fd < 0) return std::unexpected(system_error(path, errno));
    struct stat info{};
    ::fstat(segment.read_fd, &info);
    FrameReader reader(segment.read_fd, 0);
    for (;;) {
      auto frame = reader.next(static_cast<std::uint64_t>(info.st_size), true);
      if (!frame) return std::unexpected(frame.error());
      if (!*frame) break;
      if ((*frame)->type == FrameType::intent) {
        auto intent = decode_intent((*frame)->payload);
        if (intent && seen.intent) seen.intent(*intent);
      } else {
        auto record = decode_call((*frame)->payload);
        if (record && seen.outcome) seen.outcome(*record);
      }
    }
    damaged += reader.damaged();
  }
  return damaged;
}

}  // namespace ballast::records
