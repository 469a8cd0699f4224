#include "records/audit_anchors.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/compress.hpp"
#include "base/log.hpp"
#include "base/thread.hpp"
#include "records/codec.hpp"
#include "records/journal_file.hpp"
#include "records/segment_file.hpp"
#include "records/sql_values.hpp"

namespace ballast::records {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kDomain = "ballast audit anchor 1\n";
constexpr std::size_t kMostHeads = 8192;                             // in one anchor: two megabytes at the very most
constexpr std::size_t kMostLeaves = kMostHeads * (kMaxChainName + 64);
constexpr std::uint64_t kTail = 2 * kMaxFrame;                       // what is read at start to find the newest anchor
const SystemClock kSystemClock;

std::string leaf_bytes(const AnchoredHead& h) {
  std::string out(h.chain.size() + 64, '\0');
  ByteWriter w(out.data());
  w.text(h.chain);
  w.varint(static_cast<std::uint64_t>(h.head.length));
  w.text(view(h.head.hash));
  out.resize(static_cast<std::size_t>(w.at() - out.data()));
  return out;
}

std::string encode(const Anchor& a) {
  std::string leaves;
  for (const AnchoredHead& h : a.heads) leaves += leaf_bytes(h);
  const std::string packed = pack(leaves);
  std::string frame(kFrameHeader + a.node.size() + packed.size() + 128, '\0');
  ByteWriter w(frame.data() + kFrameHeader);
  w.varint(static_cast<std::uint64_t>(a.number));
  w.zigzag(unix_us(a.at));
  w.text(a.node);
  w.text(view(a.previous));
  w.text(view(a.root));
  w.varint(a.heads.size());
  w.text(packed);
  frame.resize(static_cast<std::size_t>(w.at() - frame.data()));
  seal_frame(frame, FrameType::anchor);
  return frame;
}

std::optional<Anchor> decode(std::string_view payload) {
  ByteReader r(payload);
  Anchor a;
  a.number = static_cast<std::int64_t>(r.varint());
  a.at = wall_from_us(r.zigzag());
  a.node = r.text();
  a.previous = digest_from(r.view());
  a.root = digest_from(r.view());
  const std::uint64_t heads = r.varint();
  const auto leaves = unpack(r.view(), kMostLeaves);
  if (!r.good() || !leaves || heads > kMostHeads) return std::nullopt;
  ByteReader l(*leaves);
  for (std::uint64_t i = 0; i < heads && l.good(); ++i) {
    AnchoredHead& h = a.heads.emplace_back();
    h.chain = l.text();
    h.head.length = static_cast<std::int64_t>(l.varint());
    h.head.hash = digest_from(l.view());
  }
  if (!l.good() || l.more()) return std::nullopt;
  return a;
}

Error at_file(const std::string& path, int error_number) { return system_error(path, error_number); }

Result<void> check_node(std::string_view node) {
  const auto fine = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; };
  if (node.empty() || node.size() > 64 || !std::all_of(node.begin(), node.end(), fine))
    return fail(ErrorCode::caller_invalid_request, "a node's name is 1 to 64 letters, digits, -, _ or .", "node");
  return {};
}

}  // namespace

// RFC 6962, 2.1: leaves and nodes are told apart by their first byte; the left part of a tree is the largest power of two.
Digest merkle_root(std::span<const AnchoredHead> heads) {
  if (heads.empty()) return sha256("");
  if (heads.size() == 1) return sha256(std::string(1, '\0') + leaf_bytes(heads[0]));
  std::size_t left = 1;
  while (left * 2 < heads.size()) left *= 2;
  const Digest a = merkle_root(heads.first(left)), b = merkle_root(heads.subspan(left));
  Sha256 hash;
  hash.update("\1");
  hash.update(view(a));
  hash.update(view(b));
  return hash.finish();
}

Digest anchor_hash(const Anchor& a) {
  std::string plain(a.node.size() + 64, '\0');
  ByteWriter w(plain.data());
  w.varint(static_cast<std::uint64_t>(a.number));
  w.zigzag(unix_us(a.at));
  w.text(a.node);
  w.varint(a.heads.size());
  plain.resize(static_cast<std::size_t>(w.at() - plain.data()));
  Sha256 hash;
  hash.update(kDomain);
  hash.update(view(a.previous));
  hash.update(view(a.root));
  hash.update(plain);
  return hash.finish();
}

std::string anchors_file(const std::string& directory, std::string_view node) { return directory + "/anchors-" + std::string(node) + ".log"; }

std::vector<std::string> anchors_files(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code missing;
  for (const auto& file : fs::directory_iterator(directory, missing)) {
    const std::string name = file.path().filename().string();
    if (name.starts_with("anchors-") && name.ends_with(".log")) out.push_back(file.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// ---- reading ----

struct AnchorReader::State {
  State(std::string p, int f, std::uint64_t from) : path(std::move(p)), fd(f), frames(f, from) {}
  ~State() { ::close(fd); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  std::string path;
  int fd;
  FrameReader frames;
  std::uint64_t undecoded = 0;
};

AnchorReader::AnchorReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
AnchorReader::~AnchorReader() = default;

Result<std::unique_ptr<AnchorReader>> AnchorReader::open(const std::string& path, std::uint64_t from) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(at_file(path, errno));
  std::unique_ptr<AnchorReader> reader(new AnchorReader(std::make_unique<State>(path, fd, from)));
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail(at_file(path, errno));
  reader->size_ = static_cast<std::uint64_t>(info.st_size);
  reader->end_ = from;
  return reader;
}

Result<std::optional<Anchor>> AnchorReader::next() {
  for (;;) {
    const std::uint64_t begun = end_;
    auto frame = state_->frames.next(size_, false);
    if (!frame) return fail(Error{.code = frame.error().code, .message = state_->path + ": " + frame.error().message});
    if (!*frame) return std::optional<Anchor>();
    auto anchor = (*frame)->type == FrameType::anchor ? decode((*frame)->payload) : std::nullopt;
    end_ = (*frame)->end;
    if (anchor) return anchor;
    state_->undecoded += end_ - begun;
  }
}

Result<NewestAnchor> newest_anchor(const std::string& file, std::uint64_t* end) {
  std::error_code ec;
  const std::uint64_t size = fs::file_size(file, ec);
  if (ec) return fail(at_file(file, ec.value()));
  auto reader = AnchorReader::open(file, size > kTail ? size - kTail : 0);
  if (!reader) return fail(reader.error());
  NewestAnchor newest{.file = file};
  for (;;) {
    const auto anchor = (*reader)->next();
    if (!anchor) return fail(anchor.error());
    if (!*anchor) break;
    newest = {file, (*anchor)->node, (*anchor)->number, (*anchor)->at, anchor_hash(**anchor)};
    if (end) *end = (*reader)->end();
  }
  if (size > kTail && newest.number == 0) return fail(ErrorCode::internal_error, file + " is no file of anchors");
  return newest;
}

std::uint64_t AnchorReader::damaged() const { return state_->frames.damaged() + state_->undecoded; }

// ---- writing ----

Result<std::int64_t> unanchored_chains(store::Tx& tx) {
  auto rows = tx.run("SELECT count(*) FROM audit_dirty");
  if (!rows) return fail(rows.error());
  return (*rows)[0].integer(0);
}

struct Anchorer::State {
  ~State() {
    if (fd >= 0) ::close(fd);
  }
  AnchorOptions options;
  const Clock* clock = nullptr;
  std::string path;
  int fd = -1;
  std::mutex writing;                       // of the file: one anchor after the other
  std::uint64_t end = 0;
  MonoTime told{};
  bool failing = false;                     // of the thread alone

  mutable std::mutex mutex;                 // of what follows
  NewestAnchor newest;
  std::condition_variable wake;
  bool stopping = false;
  store::Database* database = nullptr;
  std::function<bool()> mine;
  std::thread thread;

  Result<void> find_end();
  Result<void> append(const Anchor& anchor);
  Result<std::size_t> anchor_some(store::Database& db);
  void tell(bool at_once);
  void end_thread();
};

// The newest anchor, from the end of the file: what is behind it is torn.
Result<void> Anchorer::State::find_end() {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail(at_file(path, errno));
  const auto size = static_cast<std::uint64_t>(info.st_size);
  auto found = newest_anchor(path, &end);
  if (!found) return fail(found.error());
  if (found->number > 0 && found->node != options.node)
    return fail(ErrorCode::internal_error, path + " has anchors of node " + found->node + ", not of " + options.node);
  newest = std::move(*found);
  if (size == end) return {};
  log::warn("audit_anchors_torn", {{"file", path}, {"bytes", size - end}, {"newest", newest.number}});
  if (::ftruncate(fd, static_cast<off_t>(end)) != 0 || ::fsync(fd) != 0) return fail(at_file(path, errno));
  return {};
}

Result<std::unique_ptr<Anchorer>> Anchorer::open(AnchorOptions options) {
  if (auto fine = check_node(options.node); !fine) return fail(fine.error());
  auto s = std::make_unique<State>();
  s->clock = options.clock ? options.clock : &kSystemClock;
  s->path = anchors_file(options.directory, options.node);
  s->options = std::move(options);
  std::error_code ec;
  fs::create_directories(s->options.directory, ec);
  if (ec) return fail(at_file(s->options.directory, ec.value()));
  s->fd = ::open(s->path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (s->fd < 0) return fail(at_file(s->path, errno));
  if (::flock(s->fd, LOCK_EX | LOCK_NB) != 0) return fail(ErrorCode::internal_unavailable, s->path + " is in use by another process");
  const int directory = ::open(s->options.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = directory >= 0 && ::fsync(directory) == 0;
  if (directory >= 0) ::close(directory);
  if (!synced) return fail(at_file(s->options.directory, errno));
  if (auto found = s->find_end(); !found) return fail(found.error());
  return std::unique_ptr<Anchorer>(new Anchorer(std::move(s)));
}

Anchorer::Anchorer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Anchorer::~Anchorer() { state_->end_thread(); }

// On the disk, or cut off again.
Result<void> Anchorer::State::append(const Anchor& anchor) {
  const std::string frame = encode(anchor);
  auto written = write_fully(fd, frame, end, 0, path);
  if (written && ::fdatasync(fd) != 0) written = fail(at_file(path, errno));
  if (!written) {
    (void)!::ftruncate(fd, static_cast<off_t>(end));
    return written;
  }
  end += frame.size();
  const std::lock_guard lock(mutex);
  newest = {path, anchor.node, anchor.number, anchor.at, anchor_hash(anchor)};
  return {};
}

Result<std::size_t> Anchorer::State::anchor_some(store::Database& db) {
  const auto dirty = db.read_now([](store::Tx& tx) -> Result<std::vector<AnchoredHead>> {
    auto rows = tx.run("SELECT chain, length, hash FROM audit_dirty ORDER BY chain LIMIT $1", {kMostHeads});
    if (!rows) return fail(rows.error());
    std::vector<AnchoredHead> out;
    for (store::Row r : *rows) out.push_back({r.string(0), {r.integer(1), digest_from(r.bytes(2))}});
    return out;
  });
  if (!dirty) return fail(dirty.error());
  if (dirty->empty()) return 0;
  Anchor a{.number = newest.number + 1, .at = wall_from_us(unix_us(clock->wall())), .node = options.node, .previous = newest.hash,
           .root = merkle_root(*dirty), .heads = *dirty};
  if (auto done = append(a); !done) return fail(done.error());
  const auto noted = db.write_now([&](store::Tx& tx) -> Result<bool> {
    store::Batch known(2);
    for (const AnchoredHead& h : *dirty) known.add({h.chain, h.head.length});
    if (const auto gone = tx.run_many("DELETE FROM audit_dirty WHERE chain = $1 AND length = $2", known); !gone) return fail(gone.error());
    const auto kept = tx.run("INSERT INTO audit_anchors (node, number, at_us, hash) VALUES ($1, $2, $3, $4) ON CONFLICT (node) DO UPDATE SET "
                             "number = excluded.number, at_us = excluded.at_us, hash = excluded.hash WHERE audit_anchors.number < excluded.number",
                             {a.node, a.number, unix_us(a.at), bytes_of(newest.hash)});
    if (!kept) return fail(kept.error());
    return true;
  });
  if (!noted) return fail(noted.error());
  return dirty->size();
}

void Anchorer::State::tell(bool at_once) {
  const MonoTime now = clock->mono();
  if (newest.number == 0 || (!at_once && told != MonoTime{} && now - told < options.tell_every)) return;
  told = now;
  const std::string hash = to_hex(newest.hash);
  log::info("audit_anchored", {{"node", options.node}, {"anchor", newest.number}, {"hash", hash}, {"file", path}});
}

Result<std::size_t> Anchorer::anchor(store::Database& database) {
  const std::lock_guard lock(state_->writing);
  std::size_t all = 0;
  for (;;) {
    const auto some = state_->anchor_some(database);
    if (!some) return fail(some.error());
    all += *some;
    if (*some < kMostHeads) break;
  }
  if (all > 0) state_->tell(false);
  return all;
}

void Anchorer::start(store::Database& database, std::function<bool()> mine) {
  state_->database = &database;
  state_->mine = std::move(mine);
  state_->thread = std::thread([this, &database] {
    name_this_thread("anchors");
    std::unique_lock lock(state_->mutex);
    while (!state_->wake.wait_for(lock, state_->options.every, [&] { return state_->stopping; })) {
      lock.unlock();
      const auto done = !state_->mine || state_->mine() ? anchor(database) : Result<std::size_t>(0);
      if (!done && !std::exchange(state_->failing, true)) log::error("audit_not_anchored", {{"why", done.error().message}});
      if (done) state_->failing = false;
      lock.lock();
    }
  });
}

void Anchorer::State::end_thread() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  wake.notify_all();
  if (thread.joinable()) thread.join();
}

void Anchorer::stop() {
  state_->end_thread();
  store::Database* database = std::exchange(state_->database, nullptr);
  if (!database || (state_->mine && !state_->mine())) return;
  if (const auto done = anchor(*database); !done) log::error("audit_not_anchored", {{"why", done.error().message}});
  const std::lock_guard lock(state_->writing);
  state_->tell(true);
}

NewestAnchor Anchorer::newest() const {
  const std::lock_guard lock(state_->mutex);
  return state_->newest;
}

}  // namespace ballast::records
