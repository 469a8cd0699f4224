#include "gateway/idempotency.hpp"

#include <utility>

#include "base/log.hpp"

namespace ballast::gateway {

namespace {

using records::IdempotencyRow;
using records::IdempotencyState;

constexpr std::size_t kMostOwed = 10'000, kMostOwedBytes = std::size_t{64} << 20, kWrittenAtOnce = 500;

// How a call ended, which its row does not say yet.
struct Owed {
  std::string key_id, key;
  Id call;
  std::optional<std::string> reply;        // packed; none: to be forgotten

  Result<void> write(store::Tx& tx) const {
    return reply ? records::finish_idempotent(tx, key_id, key, call, *reply) : records::forget_idempotent(tx, key_id, key, call);
  }
};

class DatabaseIdempotencyStore final : public IdempotencyStore {
 public:
  explicit DatabaseIdempotencyStore(store::Database& database) : db_(database) {}

  Task<Result<IdempotencyRow>> begin(Scheduler& loop, IdempotencyRow row, WallTime now) override {
    const auto owed = find(row.key_id, row.key);
    auto body = [&](store::Tx& tx) -> Result<IdempotencyRow> {
      auto found = records::begin_idempotent(tx, row, now);
      if (!owed || !found || found->state != IdempotencyState::started || found->call != owed->call) return found;
      if (owed->reply) {
        found->state = IdempotencyState::finished;
        found->reply = *owed->reply;
        return found;
      }
      if (auto forgotten = owed->write(tx); !forgotten) return fail(forgotten.error());
      return records::begin_idempotent(tx, row, now);
    };
    auto found = co_await db_.write(loop, body);
    co_return found;
  }
  Task<Result<bool>> retake(Scheduler& loop, std::string key_id, std::string key, Id call, std::string owner) override {
    auto body = [&](store::Tx& tx) -> Result<bool> { return records::retake_idempotent(tx, key_id, key, call, owner); };
    auto taken = co_await db_.write(loop, body);
    co_return taken;
  }
  Task<Result<void>> finish(Scheduler& loop, std::string key_id, std::string key, Id call, records::StoredReply reply) override {
    auto ended = co_await end(loop, {std::move(key_id), std::move(key), call, records::pack_reply(reply)});
    co_return ended;
  }
  Task<Result<void>> forget(Scheduler& loop, std::string key_id, std::string key, Id call) override {
    auto ended = co_await end(loop, {std::move(key_id), std::move(key), call, std::nullopt});
    co_return ended;
  }

  void keep_up() override {
    for (;;) {
      std::vector<Owed> some;
      {
        const std::lock_guard hold(mutex_);
        for (auto at = owed_.begin(); at != owed_.end() && some.size() < kWrittenAtOnce; ++at) some.push_back(at->second);
      }
      if (some.empty()) return;
      const auto written = db_.write_now(
          [&](store::Tx& tx) -> Result<void> {
            for (const Owed& one : some)
              if (auto done = one.write(tx); !done && store::fault_of(done.error()) != store::Fault::none) return done;      // else the key is another call's by now
            return {};
          },
          {.priority = store::Priority::low});
      if (!written) return;
      const std::lock_guard hold(mutex_);
      for (const Owed& one : some) drop(one);
      if (owed_.empty()) log::info("idempotency_caught_up", {{"keys", some.size()}});
    }
  }

 private:
  using Name = std::pair<std::string, std::string>;

  Task<Result<void>> end(Scheduler& loop, Owed one) {
    auto body = [&](store::Tx& tx) { return one.write(tx); };
    auto done = co_await db_.write(loop, body);
    if (!done && store::fault_of(done.error()) != store::Fault::none && owe(one)) {
      log::warn("idempotency_owed", {{"why", done.error().message}});
      co_return Result<void>{};
    }
    co_return done;
  }

  std::optional<Owed> find(const std::string& key_id, const std::string& key) {
    const std::lock_guard hold(mutex_);
    const auto at = owed_.find({key_id, key});
    return at == owed_.end() ? std::nullopt : std::optional(at->second);
  }
  bool owe(const Owed& one) {
    const std::lock_guard hold(mutex_);
    const auto size = [](const Owed& o) { return o.reply ? o.reply->size() : 0; };
    if (owed_.size() >= kMostOwed || bytes_ + size(one) > kMostOwedBytes) return false;
    Owed& place = owed_[{one.key_id, one.key}];
    bytes_ += size(one) - size(place);
    place = one;
    return true;
  }
  // With the mutex. Unless the key has been used again meanwhile.
  void drop(const Owed& one) {
    const auto at = owed_.find({one.key_id, one.key});
    if (at == owed_.end() || at->second.call != one.call) return;
    if (at->second.reply) bytes_ -= at->second.reply->size();
    owed_.erase(at);
  }

  store::Database& db_;
  std::mutex mutex_;
  std::map<Name, Owed> owed_;
  std::size_t bytes_ = 0;                  // of their replies
};

}  // namespace

std::unique_ptr<IdempotencyStore> database_idempotency_store(store::Database& database) {
  return std::make_unique<DatabaseIdempotencyStore>(database);
}

Task<Result<IdempotencyRow>> MemoryIdempotencyStore::begin(Scheduler&, IdempotencyRow row, WallTime now) {
  const std::lock_guard hold(mutex_);
  auto [it, inserted] = rows_.try_emplace({row.key_id, row.key}, row);
  if (!inserted && it->second.expires > now) co_return it->second;
  it->second = row;
  row.state = IdempotencyState::fresh;
  co_return row;
}

Task<Result<bool>> MemoryIdempotencyStore::retake(Scheduler&, std::string key_id, std::string key, Id call, std::string owner) {
  const std::lock_guard hold(mutex_);
  const auto it = rows_.find({key_id, key});
  if (it == rows_.end() || it->second.state != IdempotencyState::unknown) co_return false;
  it->second.state = IdempotencyState::started;
  it->second.call = call;
  it->second.owner = std::move(owner);
  co_return true;
}

Task<Result<void>> MemoryIdempotencyStore::finish(Scheduler&, std::string key_id, std::string key, Id call, records::StoredReply reply) {
  auto packed = records::pack_reply(reply);
  const std::lock_guard hold(mutex_);
  const auto it = rows_.find({key_id, key});
  if (it == rows_.end() || it->second.call != call)
    co_return fail(ErrorCode::caller_conflict, "the Idempotency-Key belongs to another call by now");
  it->second.state = IdempotencyState::finished;
  it->second.reply = std::move(packed);
  co_return Result<void>{};
}

Task<Result<void>> MemoryIdempotencyStore::forget(Scheduler&, std::string key_id, std::string key, Id call) {
  const std::lock_guard hold(mutex_);
  const auto it = rows_.find({key_id, key});
  if (it != rows_.end() && it->second.call == call) rows_.erase(it);
  co_return Result<void>{};
}

void MemoryIdempotencyStore::disown(std::string_view alive) {
  const std::lock_guard hold(mutex_);
  for (auto& [name, row] : rows_)
    if (row.state == IdempotencyState::started && row.owner != alive) row.state = IdempotencyState::unknown;
}

}  // namespace ballast::gateway
