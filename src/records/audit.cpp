#include "records/audit.hpp"

#include <deque>
#include <map>

#include "base/json.hpp"
#include "base/text.hpp"
#include "records/audit_sql.hpp"

namespace ballast::records {

namespace {

constexpr std::string_view kDomain = "ballast audit entry 1\n";
constexpr std::string_view kAdmin = "admin:";
constexpr int kRounds = 3;

AuditEntry stored_form(const AuditEntry& e, WallTime now) {
  return {.actor = stored_text(e.actor, kMaxAuditText),
          .action = stored_text(e.action, kMaxAuditText),
          .subject = stored_text(e.subject, kMaxAuditText),
          .arguments = e.arguments,
          .outcome = stored_text(e.outcome, kMaxAuditOutcome),
          .at = wall_from_us(unix_us(e.at == WallTime{} ? now : e.at))};
}

Result<void> check_name(std::string_view chain) {
  if (chain.empty() || chain.size() > kMaxChainName || !is_utf8(chain) || chain.find('\0') != std::string_view::npos)
    return fail(ErrorCode::caller_invalid_request, "an audit chain's name is text of 1 to 200 bytes", "chain");
  return {};
}

using Heads = std::map<std::string_view, ChainHead>;

// The heads there are of `chains`, which are sorted: writers of the same chains wait for each other in one order. PostgreSQL: locked
// until the transaction ends, and as the last writer left them.
Result<Heads> lock_heads(store::Tx& tx, std::span<const std::string_view> chains) {
  static const ListStatement select("SELECT chain, length, hash FROM audit_heads WHERE chain IN", 1, " ORDER BY chain", " FOR UPDATE");
  Heads out;
  while (!chains.empty()) {
    const auto all = chains;
    std::vector<store::Value> args;
    const auto statement = select.take(chains, args, [](std::string_view name) { return store::Value(name); });
    auto rows = tx.run(statement, args);
    if (!rows) return std::unexpected(rows.error());
    for (store::Row r : *rows)
      if (const auto name = std::lower_bound(all.begin(), all.end(), r.text(0)); name != all.end() && *name == r.text(0))
        out[*name] = {r.integer(1), digest_from(r.bytes(2))};
  }
  return out;
}

// What a transaction appends to one chain.
struct Growth {
  std::string_view chain;
  std::deque<AuditEntry> entries;
  ChainHead before, after;
  bool fresh = false;                   // no head yet
  std::vector<Digest> hashes;
};

void link(Growth& g, const ChainHead* head) {
  g.fresh = head == nullptr;
  g.before = g.after = head ? *head : ChainHead{};
  g.hashes.clear();
  for (const AuditEntry& e : g.entries) {
    ++g.after.length;
    g.after.hash = audit_hash(g.chain, g.after.length, g.after.hash, e);
    g.hashes.push_back(g.after.hash);
  }
}

Result<std::vector<std::int64_t>> run_some(store::Tx& tx, const store::Statement& statement, const store::Batch& batch) {
  if (batch.size() == 0) return std::vector<std::int64_t>{};
  return tx.run_many(statement, batch);
}

// Moves the heads from `before` to `after`, each only if it still is there. Returns those that somebody else has moved.
Result<std::vector<Growth*>> move_heads(store::Tx& tx, std::span<Growth* const> grown) {
  store::Batch made(3), moved(5);
  std::vector<Growth*> of_made, of_moved, late;
  for (Growth* g : grown) {
    if (g->fresh) made.add({g->chain, g->after.length, bytes_of(g->after.hash)});
    else moved.add({g->chain, g->after.length, bytes_of(g->after.hash), g->before.length, bytes_of(g->before.hash)});
    (g->fresh ? of_made : of_moved).push_back(g);
  }
  const auto inserted = run_some(tx, "INSERT INTO audit_heads (chain, length, hash) VALUES ($1, $2, $3) ON CONFLICT (chain) DO NOTHING", made);
  if (!inserted) return fail(inserted.error());
  const auto updated = run_some(tx, "UPDATE audit_heads SET length = $2, hash = $3 WHERE chain = $1 AND length = $4 AND hash = $5", moved);
  if (!updated) return fail(updated.error());
  for (std::size_t i = 0; i < of_made.size(); ++i)
    if ((*inserted)[i] == 0) late.push_back(of_made[i]);
  for (std::size_t i = 0; i < of_moved.size(); ++i)
    if ((*updated)[i] == 0) late.push_back(of_moved[i]);
  return late;
}

Result<void> write_entries(store::Tx& tx, std::span<Growth* const> grown) {
  store::Batch entries(10), dirty(3);
  for (Growth* g : grown) {
    const Digest* previous = &g->before.hash;
    for (std::size_t i = 0; i < g->entries.size(); ++i) {
      const AuditEntry& e = g->entries[i];
      entries.add({g->chain, g->before.length + static_cast<std::int64_t>(i) + 1, unix_us(e.at), e.actor, e.action, e.subject, bytes_of(e.arguments),
                   e.outcome, bytes_of(*previous), bytes_of(g->hashes[i])});
      previous = &g->hashes[i];
    }
    dirty.add({g->chain, g->after.length, bytes_of(g->after.hash)});
  }
  const auto written = run_some(tx,
                                "INSERT INTO audit_entries (chain, seq, at_us, actor, action, subject, arguments, outcome, previous, hash) "
                                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                                entries);
  if (!written) return fail(written.error());
  const auto noted = run_some(tx,
                              "INSERT INTO audit_dirty (chain, length, hash) VALUES ($1, $2, $3) "
                              "ON CONFLICT (chain) DO UPDATE SET length = excluded.length, hash = excluded.hash",
                              dirty);
  if (!noted) return fail(noted.error());
  return {};
}

// Grows the chains, which are sorted by name.
Result<void> grow(store::Tx& tx, std::deque<Growth>& all) {
  std::vector<Growth*> waiting;
  for (Growth& g : all) waiting.push_back(&g);
  for (int round = 0; round < kRounds && !waiting.empty(); ++round) {
    std::vector<std::string_view> names;
    for (const Growth* g : waiting) names.push_back(g->chain);
    std::sort(names.begin(), names.end());
    const auto heads = lock_heads(tx, names);
    if (!heads) return fail(heads.error());
    for (Growth* g : waiting) {
      const auto head = heads->find(g->chain);
      link(*g, head == heads->end() ? nullptr : &head->second);
    }
    auto late = move_heads(tx, waiting);
    if (!late) return fail(late.error());
    std::erase_if(waiting, [&](Growth* g) { return std::find(late->begin(), late->end(), g) != late->end(); });
    if (auto written = write_entries(tx, waiting); !written) return written;
    waiting = std::move(*late);
  }
  if (!waiting.empty()) return fail(store::make_error(store::Fault::conflict, "an audit chain is being changed by others"));
  return {};
}

}  // namespace

std::string admin_chain(std::string_view node) { return std::string(kAdmin).append(node); }

Digest audit_hash(std::string_view chain, std::int64_t seq, const Digest& previous, const AuditEntry& e) {
  Sha256 hash;
  const auto number = [&](std::uint64_t n) {
    std::array<char, 8> bytes;
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(n >> (8 * i));
    hash.update({bytes.data(), bytes.size()});
  };
  const auto text = [&](std::string_view t) {
    number(t.size());
    hash.update(t);
  };
  hash.update(kDomain);
  hash.update(view(previous));
  number(static_cast<std::uint64_t>(seq));
  text(chain);
  number(static_cast<std::uint64_t>(unix_us(e.at)));
  for (const std::string_view field : {std::string_view(e.actor), std::string_view(e.action), std::string_view(e.subject)}) text(field);
  hash.update(view(e.arguments));
  text(e.outcome);
  return hash.finish();
}

Result<ChainHead> append_audit(store::Tx& tx, std::string_view chain, std::span<const AuditEntry> entries, WallTime now) {
  const AuditAppend one{chain, entries};
  if (auto done = append_audits(tx, {&one, 1}, now); !done) return fail(done.error());
  return audit_head(tx, chain);
}

Result<void> append_audits(store::Tx& tx, std::span<const AuditAppend> appends, WallTime now) {
  std::map<std::string_view, Growth*> by_name;
  std::deque<Growth> all;
  for (const AuditAppend& a : appends) {
    if (auto fine = check_name(a.chain); !fine) return fine;
    if (a.entries.empty()) continue;
    Growth*& g = by_name[a.chain];
    if (!g) {
      g = &all.emplace_back();
      g->chain = a.chain;
    }
    for (const AuditEntry& e : a.entries) g->entries.push_back(stored_form(e, now));
  }
  if (all.empty()) return {};
  return grow(tx, all);
}

Result<std::vector<AuditRow>> list_audit(store::Tx& tx, std::string_view chain, std::int64_t after_seq, std::size_t limit) {
  auto rows = tx.run(
      "SELECT seq, at_us, actor, action, subject, arguments, outcome, previous, hash FROM audit_entries WHERE chain = $1 AND seq > $2 "
      "ORDER BY seq LIMIT $3",
      {chain, after_seq, std::min<std::size_t>(limit, 10'000)});
  if (!rows) return std::unexpected(rows.error());
  std::vector<AuditRow> out;
  for (store::Row r : *rows) out.push_back(audit_row(r, 0));
  return out;
}

Result<ChainHead> audit_head(store::Tx& tx, std::string_view chain) {
  auto rows = tx.run("SELECT length, hash FROM audit_heads WHERE chain = $1", {chain});
  if (!rows) return std::unexpected(rows.error());
  return rows->empty() ? ChainHead{} : ChainHead{(*rows)[0].integer(0), digest_from((*rows)[0].bytes(1))};
}

// Read and deleted under the head's lock, so that what the tombstone tells is what was there.
Result<std::size_t> retire_chains(store::Tx& tx, std::span<const std::string> chains, std::string_view node, std::string_view actor,
                                  std::string_view why, WallTime now) {
  std::vector<std::string_view> names(chains.begin(), chains.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (const std::string_view name : names)
    if (name.starts_with(kAdmin)) return fail(ErrorCode::caller_invalid_request, "a chain of administrative acts is not retired", "chain");
  if (names.empty()) return 0;
  const auto heads = lock_heads(tx, names);
  if (!heads) return fail(heads.error());
  store::Batch gone(1);
  std::vector<AuditEntry> tombstones;
  for (const auto& [chain, head] : *heads) {
    gone.add({chain});
    tombstones.push_back({.actor = std::string(actor), .action = std::string(audit::chain_erased), .subject = std::string(chain), .arguments = head.hash,
                          .outcome = to_json(json::object{{"length", head.length}, {"hash", to_hex(head.hash)}, {"why", utf8_prefix(why, 1024)}})});
  }
  for (const char* sql : {"DELETE FROM audit_entries WHERE chain = $1", "DELETE FROM audit_heads WHERE chain = $1", "DELETE FROM audit_dirty WHERE chain = $1"})
    if (const auto done = run_some(tx, sql, gone); !done) return fail(done.error());
  const std::string admin = admin_chain(node);
  const AuditAppend told{admin, tombstones};
  if (auto done = append_audits(tx, {&told, 1}, now); !done) return fail(done.error());
  return tombstones.size();
}

}  // namespace ballast::records
