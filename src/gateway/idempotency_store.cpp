#include "gateway/idempotency.hpp"

namespace ballast::gateway {

namespace {

using records::IdempotencyRow;
using records::IdempotencyState;

class DatabaseIdempotencyStore final : public IdempotencyStore {
 public:
  explicit DatabaseIdempotencyStore(store::Database& database) : db_(database) {}

  Task<Result<IdempotencyRow>> begin(Scheduler& loop, IdempotencyRow row, WallTime now) override {
    auto body = [&row, now](store::Tx& tx) -> Result<IdempotencyRow> { return records::begin_idempotent(tx, row, now); };
    auto found = co_await db_.write(loop, body);
    co_return found;
  }
  Task<Result<bool>> retake(Scheduler& loop, std::string key_id, std::string key, Id call, std::string owner) override {
    auto body = [&](store::Tx& tx) -> Result<bool> { return records::retake_idempotent(tx, key_id, key, call, owner); };
    auto taken = co_await db_.write(loop, body);
    co_return taken;
  }
  Task<Result<void>> finish(Scheduler& loop, std::string key_id, std::string key, Id call, records::StoredReply reply) override {
    const std::string packed = records::pack_reply(reply);
    auto body = [&](store::Tx& tx) -> Result<void> { return records::finish_idempotent(tx, key_id, key, call, packed); };
    auto kept = co_await db_.write(loop, body);
    co_return kept;
  }
  Task<Result<void>> forget(Scheduler& loop, std::string key_id, std::string key, Id call) override {
    auto body = [&](store::Tx& tx) -> Result<void> { return records::forget_idempotent(tx, key_id, key, call); };
    auto forgotten = co_await db_.write(loop, body);
    co_return forgotten;
  }

 private:
  store::Database& db_;
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
