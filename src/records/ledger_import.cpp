#include "records/ledger_import.hpp"

#include <deque>

#include "base/text.hpp"
#include "records/budgets.hpp"
#include "records/ledger.hpp"

namespace ballast::records {

namespace {

constexpr const char* kInsert =
    "INSERT INTO calls (id, at_ms, key_id, user_id, feature, team, route, operation, provider, model, status, cache, split, incurred, billed, "
    "input, cached, cache_write, output, reasoning, images, latency_us, detail) VALUES "
    "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23) ON CONFLICT (id) DO NOTHING";
constexpr std::size_t kWidth = 23;

constexpr const char* kInsertAttempt =
    "INSERT INTO call_attempts (call_id, n, provider, model, failed, incurred, billed, input, cached, cache_write, output, reasoning, images, latency_us) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (call_id, n) DO NOTHING";

// Columns hold text that every database takes: valid UTF-8 without NUL. Callers name users as they like; `detail` keeps the original.
class CleanTexts {
 public:
  std::string_view operator()(const std::string& text) {
    if (is_utf8(text) && text.find('\0') == std::string::npos) [[likely]] return text;
    std::string& clean = kept_.emplace_back(text);
    for (char& c : clean)
      if (c == '\0' || static_cast<unsigned char>(c) >= 0x80) c = '?';
    return clean;
  }

 private:
  std::deque<std::string> kept_;
};

std::int64_t signed_of(std::uint64_t n) { return n > static_cast<std::uint64_t>(INT64_MAX) ? INT64_MAX : static_cast<std::int64_t>(n); }

// Do its attempts need rows of their own? Not when there is one and it is the call.
bool is_split(const CallRecord& c) {
  if (c.attempts.empty()) return false;
  const AttemptRecord& a = c.attempts.front();
  return c.attempts.size() > 1 || a.provider != c.provider || a.model != c.model || a.incurred_nano != c.incurred_nano;
}

void add_attempts(store::Batch& batch, CleanTexts& clean, const CallRecord& c, std::string_view id) {
  // The answer is billed once: to the last good attempt on the model that answered.
  std::size_t answered = c.attempts.size();
  for (std::size_t i = 0; i < c.attempts.size(); ++i)
    if (c.attempts[i].outcome == "ok" && c.attempts[i].provider == c.provider && c.attempts[i].model == c.model) answered = i;
  for (std::size_t i = 0; i < c.attempts.size(); ++i) {
    const AttemptRecord& a = c.attempts[i];
    batch.add({store::Value::bytes(id), static_cast<std::int64_t>(i), clean(a.provider), clean(a.model), a.outcome != "ok", a.incurred_nano,
               i == answered ? c.billed_nano : 0, signed_of(a.usage.input), signed_of(a.usage.cached), signed_of(a.usage.cache_write),
               signed_of(a.usage.output), signed_of(a.usage.reasoning), signed_of(a.usage.images), signed_of(a.latency_us)});
  }
}

Result<std::vector<std::int64_t>> insert(store::Tx& tx, std::span<const EncodedCall> calls, const std::vector<std::string>& ids) {
  store::Batch batch(kWidth);
  batch.reserve(calls.size());
  CleanTexts clean;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const CallRecord& c = *calls[i].record;
    batch.add({store::Value::bytes(ids[i]), c.id.unix_ms(), clean(c.key_id), clean(c.user), clean(c.feature), clean(c.team), clean(c.route),
               clean(c.operation), clean(c.provider), clean(c.model), static_cast<int>(c.status), static_cast<int>(c.cache), is_split(c),
               c.incurred_nano, c.billed_nano, signed_of(c.usage.input), signed_of(c.usage.cached), signed_of(c.usage.cache_write),
               signed_of(c.usage.output), signed_of(c.usage.reasoning), signed_of(c.usage.images), signed_of(c.latency_us),
               store::Value::bytes(calls[i].bytes)});
  }
  return tx.run_many(kInsert, batch);
}

// A call that is there already: replaced when it is there as unknown and its outcome is known now. True if it was.
Result<bool> replace_unknown(store::Tx& tx, const EncodedCall& call, std::string_view id, std::vector<BudgetCharge>& spend) {
  if (call.record->status == CallStatus::unknown) return false;
  auto old = tx.run("SELECT detail FROM calls WHERE id = $1 AND status = 3", {store::Value::bytes(id)});
  if (!old) return std::unexpected(old.error());
  if (old->empty()) return false;
  auto before = decode_call((*old)[0].bytes(0));
  auto gone = tx.run("DELETE FROM calls WHERE id = $1", {store::Value::bytes(id)});
  if (!gone) return std::unexpected(gone.error());
  auto added = insert(tx, {&call, 1}, {std::string(id)});
  if (!added) return std::unexpected(added.error());
  if (before)
    for (BudgetCharge& c : before->charges) spend.push_back({std::move(c.window), -c.nano});
  return true;
}

}  // namespace

Result<std::uint64_t> add_encoded_calls(store::Tx& tx, std::span<const EncodedCall> calls) {
  std::vector<std::string> ids;
  ids.reserve(calls.size());
  for (const EncodedCall& c : calls) ids.push_back(to_bytes(c.record->id));
  auto affected = insert(tx, calls, ids);
  if (!affected) return std::unexpected(affected.error());

  std::uint64_t added = 0;
  std::vector<BudgetCharge> spend;
  store::Batch attempts(14);
  CleanTexts clean;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    bool counts = (*affected)[i] > 0;
    if (!counts) {
      auto replaced = replace_unknown(tx, calls[i], ids[i], spend);
      if (!replaced) return std::unexpected(replaced.error());
      counts = *replaced;
    }
    if (!counts) continue;
    ++added;
    const CallRecord& c = *calls[i].record;
    spend.insert(spend.end(), c.charges.begin(), c.charges.end());
    if (is_split(c)) add_attempts(attempts, clean, c, ids[i]);
  }
  if (attempts.size() > 0) {
    auto done = tx.run_many(kInsertAttempt, attempts);
    if (!done) return std::unexpected(done.error());
  }
  if (auto spent = add_spend(tx, spend); !spent) return std::unexpected(spent.error());
  return added;
}

Result<std::uint64_t> add_calls(store::Tx& tx, std::span<const CallRecord> records) {
  std::vector<std::string> bytes(records.size());
  std::vector<EncodedCall> calls;
  for (std::size_t i = 0; i < records.size(); ++i) {
    encode(bytes[i], records[i]);
    calls.push_back({&records[i], bytes[i]});
  }
  return add_encoded_calls(tx, calls);
}

}  // namespace ballast::records
