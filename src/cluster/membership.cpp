#include "cluster/membership.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "base/config_node.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/thread.hpp"

namespace ballast::cluster {

namespace {

using std::chrono::milliseconds;

constexpr auto kLimit = milliseconds(5'000);             // of one transaction of this thread

milliseconds ms(Duration d) { return std::chrono::duration_cast<milliseconds>(d); }

Error refusal(std::string field, std::string message) { return Error{.code = ErrorCode::caller_conflict, .message = std::move(message), .field = std::move(field)}; }

Error stranger(const std::string& folder, const std::string& kept, const std::string& there) {
  return refusal("database", fmt::format("{} belongs to the installation {}, but this database is {}'s. Name the right database, or give this node another data_dir", folder, kept, there));
}

// "NAME\nINSTALLATION\n", or empty.
std::pair<std::string, std::string> kept_in(const std::string& folder) {
  std::ifstream in(folder + "/node", std::ios::binary);
  std::pair<std::string, std::string> kept;
  std::getline(in, kept.first);
  std::getline(in, kept.second);
  return kept;
}

}  // namespace

Membership::Membership(store::Database& database, const Clock& clock, MembershipOptions options)
    : database_(database), clock_(clock), options_(std::move(options)), boot_(to_string(new_id(clock.wall()), "boot")),
      sight_(options_.dead_after, options_.every * 3), picture_(std::make_shared<Picture>()) {}

Membership::~Membership() { leave(); }

Result<std::unique_ptr<Membership>> Membership::join(store::Database& database, const std::string& url, const Clock& clock, MembershipOptions options) {
  std::unique_ptr<Membership> self(new Membership(database, clock, std::move(options)));
  self->alone_ = database.dialect() == store::Dialect::sqlite;
  if (!self->alone_) {
    auto own = store::open_database(url, {.readers = 1});
    if (!own) return fail(std::move(own.error()));
    self->own_ = std::move(*own);
  }
  using Step = Result<void> (Membership::*)();
  for (const Step step : {&Membership::read_folder, &Membership::check_clock, &Membership::wait_for_silence, &Membership::take})
    if (auto done = (self.get()->*step)(); !done) return fail(std::move(done.error()));
  if (auto kept = self->write_folder(); !kept) return fail(std::move(kept.error()));
  return self;
}

Result<void> Membership::belongs(store::Database& database, const std::string& folder) {
  const auto [name, kept] = kept_in(folder);
  if (kept.empty() || database.dialect() == store::Dialect::sqlite) return {};
  const auto there = database.read_now([](store::Tx& tx) -> Result<std::string> {
    auto rows = tx.run("SELECT id FROM installation WHERE n = 1");
    if (!rows) return std::unexpected(rows.error());
    return rows->empty() ? std::string() : (*rows)[0].string(0);
  });
  if (!there || there->empty() || *there == kept) return {};         // it has none yet, or cannot be asked: `join` will
  return fail(stranger(folder, kept, *there));
}

// A folder without a name gets one.
Result<void> Membership::read_folder() {
  joined_ = clock_.wall();
  std::tie(name_, kept_installation_) = kept_in(options_.folder);
  if (name_.empty()) name_ = to_string(new_id(clock_.wall()), "node");
  return {};
}

// Whole or not at all, and on the disk before this node is counted on.
Result<void> Membership::write_folder() const {
  if (kept_installation_ == installation_) return {};
  const std::string path = options_.folder + "/node", draft = path + ".new", text = name_ + "\n" + installation_ + "\n";
  const int file = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  const int why = errno;
  if (file >= 0) ::close(file);
  if (!written || ::rename(draft.c_str(), path.c_str()) != 0)
    return fail(ErrorCode::internal_unavailable, fmt::format("cannot keep this node's name in {}: {}", path, std::strerror(written ? errno : why)), "data_dir");
  return {};
}

Result<void> Membership::check_clock() {
  const WallTime before = clock_.wall();
  auto there = database_.write_now([&](store::Tx& tx) -> Result<WallTime> {
    auto installation = installation_of(tx, to_string(new_id(before), "inst"));
    if (!installation) return std::unexpected(installation.error());
    installation_ = *installation;
    return tx.now();
  });
  if (!there) return std::unexpected(there.error());
  if (alone_) return {};
  if (!kept_installation_.empty() && kept_installation_ != installation_)
    return fail(stranger(options_.folder, kept_installation_, installation_));
  const WallTime after = clock_.wall();
  const Duration off = *there > after ? *there - after : *there < before ? before - *there : Duration::zero();
  if (off > options_.skew)
    return fail(refusal("clock", fmt::format("this machine's clock is {} {} the database's; more than {} is refused, for ids and budgets go by it. Set it (NTP), then start again",
                                             format_duration(ms(off)), *there > after ? "behind" : "ahead of", format_duration(ms(options_.skew)))));
  return {};
}

// The last process of this name may have died a moment ago: then it is silent from now on.
Result<void> Membership::wait_for_silence() {
  if (alone_) return {};
  Sight sight(options_.dead_after, options_.dead_after);
  std::optional<Member> first;
  for (;;) {
    auto last = own_->read_now([&](store::Tx& tx) { return find_member(tx, name_); });
    if (!last) return std::unexpected(last.error());
    if (!*last || (*last)->state == MemberState::gone) return {};
    if (!first) first = **last;
    if ((*last)->boot != first->boot || (*last)->beats != first->beats)
      return fail(refusal("data_dir", fmt::format("the node {} runs already, at {}. Stop it first, or give this process a data_dir of its own", name_, (*last)->address)));
    sight.look({&**last, 1}, clock_.mono());
    if (!sight.lives(**last)) return {};
    std::this_thread::sleep_for(options_.every);
  }
}

Result<void> Membership::take() {
  state_ = MemberState::joining;
  if (alone_) return {};
  const Member self{.slot = 0, .name = name_, .boot = boot_, .address = options_.address, .version = options_.version, .state = MemberState::joining,
                    .joined = {}, .beat = {}, .beats = 0, .load = options_.load ? options_.load() : "{}"};
  auto slot = own_->write_now([&](store::Tx& tx) { return take_slot(tx, self); });
  if (!slot) {
    state_ = MemberState::gone;
    return std::unexpected(slot.error());
  }
  slot_ = *slot;
  return look();
}

void Membership::begin() {
  if (!alone_ && !thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Membership::serve() {
  state_ = MemberState::serving;
  begin();
  hurry();
}

void Membership::drain() {
  if (state_ == MemberState::gone) return;
  state_ = MemberState::draining;
  hurry();
}

void Membership::hurry() {
  std::lock_guard lock(mutex_);
  hurry_ = true;
  wake_.notify_all();
}

void Membership::leave() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  if (alone_ || !own_ || lost_ || state_.exchange(MemberState::gone) == MemberState::gone) return;
  const auto said = own_->write_now([&](store::Tx& tx) { return beat(tx, slot_, boot_, MemberState::gone, "{}"); }, {.limit = milliseconds(2'000)});
  if (!said) log::warn("cluster_leave_unsaid", {{"node", name_}, {"why", said.error().message}});
}

std::shared_ptr<const Picture> Membership::picture() const {
  if (alone_) return std::make_shared<const Picture>(of_one());
  std::lock_guard lock(mutex_);
  return picture_;
}

Picture Membership::of_one() const {
  const WallTime now = clock_.wall();
  Member self{.slot = 0, .name = name_, .boot = boot_, .address = options_.address, .version = options_.version, .state = state_,
              .joined = joined_, .beat = now, .beats = 0, .load = options_.load ? options_.load() : "{}"};
  return {.members = {{.member = std::move(self), .lives = true, .silent = {}}}, .read = clock_.mono(), .at = now};
}

void Membership::run(const std::stop_token& stop) {
  name_this_thread("cluster");
  while (!stop.stop_requested() && !lost_) {
    const MonoTime began = clock_.mono();
    MonoTime next = began + options_.every;
    if (auto looked = look(); !looked) log::warn("cluster_unseen", {{"node", name_}, {"why", looked.error().message}});
    else next = std::min(next, sight_.next_death().value_or(next));      // seen when it is due, not with the beat after: what the dead left waits for it
    const Duration left = next - clock_.mono();
    std::unique_lock lock(mutex_);
    if (left > Duration::zero()) wake_.wait_for(lock, stop, left, [this] { return hurry_; });
    hurry_ = false;
  }
  if (!lost_) return;
  log::error("cluster_lost", {{"node", name_}, {"slot", slot_}});
  if (listener_.lost) listener_.lost();
}

// One beat, and one look at all.
Result<void> Membership::look() {
  const std::string load = options_.load ? options_.load() : "{}";
  struct Seen {
    bool mine = false;
    WallTime at{};
    std::vector<Member> members;
  };
  auto seen = own_->write_now([&](store::Tx& tx) -> Result<Seen> {
    const auto counted = beat(tx, slot_, boot_, state_, load);
    if (!counted) return std::unexpected(counted.error());
    auto members = load_members(tx);
    if (!members) return std::unexpected(members.error());
    if (*counted && listener_.beside)
      if (auto read = listener_.beside(tx); !read) return std::unexpected(read.error());
    return Seen{*counted, tx.now(), std::move(*members)};
  }, {.limit = kLimit});
  if (!seen) return std::unexpected(seen.error());
  const MonoTime now = clock_.mono();
  sight_.look(seen->members, now);
  const auto picture = std::make_shared<Picture>();
  picture->read = now;
  picture->at = seen->at;
  for (Member& m : seen->members) {
    const bool lives = sight_.lives(m);
    const Duration silent = *sight_.silent(m.slot);
    picture->members.push_back({std::move(m), lives, silent});
  }
  {
    std::lock_guard lock(mutex_);
    picture_ = picture;
  }
  if (!seen->mine) {
    lost_ = true;
    return {};
  }
  bury(sight_.dead());
  if (listener_.looked) listener_.looked(*picture);
  return {};
}

// Whoever says it first looks after what the dead has left.
void Membership::bury(const std::vector<Member>& dead) {
  for (const Member& m : dead) {
    if (m.slot == slot_) continue;
    const auto first = own_->write_now([&](store::Tx& tx) { return declare_gone(tx, m.slot, m.boot, m.beats); }, {.limit = kLimit});
    if (!first || !*first) continue;
    log::warn("cluster_node_dead", {{"node", m.name}, {"slot", m.slot}, {"address", m.address}, {"said_by", name_}});
    if (listener_.died) listener_.died(m);
  }
}

}  // namespace ballast::cluster
