#include "records/audit_verify.hpp"

#include <fmt/format.h>

#include <map>

#include "base/json.hpp"
#include "records/audit_sql.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kPage = 2'000;
constexpr std::size_t kMostOfOne = 20;         // findings listed of one chain
constexpr std::int64_t kNear = 64;             // how far from its place an entry is looked for
constexpr std::size_t kHeadsAtOnce = 64;

struct Findings {
  AuditReport& report;
  std::size_t most;
  std::map<std::string, std::size_t, std::less<>> listed;

  void add(AuditFault fault, std::string_view chain, std::int64_t seq, std::string what) {
    ++report.found;
    if (report.findings.size() >= most) return;
    auto at = listed.find(chain);
    if (at == listed.end()) at = listed.emplace(std::string(chain), 0).first;
    if (at->second++ >= kMostOfOne) return;
    report.findings.push_back({fault, std::string(chain), seq, std::move(what)});
  }
};

// What a tombstone in a chain of administrative acts says of a chain that was retired.
struct Tombstone {
  std::int64_t length = 0;
  Digest hash{};
};
Tombstone tombstone_of(std::string_view outcome, std::string_view hash) {
  Tombstone t{.hash = digest_from(hash)};
  if (const auto told = parse_json(outcome); told && told->is_object())
    if (const auto* length = told->as_object().if_contains("length"); length && length->is_int64()) t.length = length->as_int64();
  return t;
}

// ---- chains ----

// One chain, entry by entry. What is found is told at the chain's end: it may have been retired while it was read.
class ChainCheck {
 public:
  ChainCheck() = default;
  explicit ChainCheck(std::string chain) : chain_(std::move(chain)) {}
  const std::string& chain() const { return chain_; }
  bool clean() const { return found_.empty(); }

  void entry(const AuditRow& row, std::optional<ChainHead> head) {
    head_ = head;
    if (row.seq < 1) return add(AuditFault::inserted, row.seq, "an entry stands before the first");
    if (row.seq > last_ + 1) {
      const bool one = row.seq == last_ + 2;
      add(AuditFault::deleted, last_ + 1, one ? fmt::format("entry {} is missing", last_ + 1) : fmt::format("entries {} to {} are missing", last_ + 1, row.seq - 1));
    }
    const bool whole = audit_hash(chain_, row.seq, row.previous, row.entry) == row.hash;
    if (!whole) broken(row);
    else if (row.seq == last_ + 1 && row.previous != hash_)
      add(AuditFault::unlinked, row.seq, fmt::format("entry {} does not follow {}: one of them was put in, exchanged or written anew", row.seq, before(row.seq)));
    if (head && row.seq == head->length && row.hash != head->hash)
      add(AuditFault::head, row.seq, fmt::format("the head is not the hash of entry {}", row.seq));
    if (head && row.seq > head->length)
      add(AuditFault::inserted, row.seq, fmt::format("entry {} stands behind the head, which is at {}: it was put in, or the head was set back", row.seq, head->length));
    last_ = row.seq;
    hash_ = row.hash;
  }

  void end() {
    if (!head_) add(AuditFault::head, 0, "the chain has entries and no head");
    else if (last_ < head_->length)
      add(AuditFault::truncated, last_ + 1, fmt::format("the head is at {}, the newest entry is {}", head_->length, last_));
  }
  void tell(Findings& findings) const {
    for (const auto& f : found_) findings.add(f.fault, chain_, f.seq, f.what);
    findings.report.found += untold_;
  }

 private:
  static std::string before(std::int64_t seq) { return seq == 1 ? "the beginning" : fmt::format("entry {}", seq - 1); }

  void broken(const AuditRow& row) {
    for (std::int64_t seq = std::max<std::int64_t>(1, row.seq - kNear); seq <= row.seq + kNear; ++seq)
      if (seq != row.seq && audit_hash(chain_, seq, row.previous, row.entry) == row.hash)
        return add(AuditFault::moved, row.seq, fmt::format("at {} stands what was entry {}", row.seq, seq));
    add(AuditFault::edited, row.seq, fmt::format("entry {} is not what its hash says: it was edited", row.seq));
  }
  void add(AuditFault fault, std::int64_t seq, std::string what) {
    if (found_.size() <= kMostOfOne) found_.push_back({fault, {}, seq, std::move(what)});
    else ++untold_;
  }

  std::string chain_;
  std::int64_t last_ = 0;
  Digest hash_{};
  std::optional<ChainHead> head_;
  std::vector<AuditFinding> found_;
  std::uint64_t untold_ = 0;
};

struct Page {
  std::string chain;
  AuditRow row;
  std::optional<ChainHead> head;
};

// Each entry with its chain's head, from one snapshot.
#define BALLAST_AUDIT_COLUMNS                                                                                              \
  "SELECT e.chain, h.length, h.hash, e.seq, e.at_us, e.actor, e.action, e.subject, e.arguments, e.outcome, e.previous, e.hash " \
  "FROM audit_entries e LEFT JOIN audit_heads h ON h.chain = e.chain WHERE "
constexpr const char* kAll = BALLAST_AUDIT_COLUMNS "(e.chain, e.seq) > ($1, $2) ORDER BY e.chain, e.seq LIMIT $3";
constexpr const char* kOne = BALLAST_AUDIT_COLUMNS "e.chain = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3";
#undef BALLAST_AUDIT_COLUMNS

Result<std::vector<Page>> read_page(store::Database& db, const char* sql, std::string_view chain, std::int64_t after) {
  return db.read_now([&](store::Tx& tx) -> Result<std::vector<Page>> {
    auto rows = tx.run(sql, {chain, after, kPage});
    if (!rows) return fail(rows.error());
    std::vector<Page> out;
    out.reserve(rows->size());
    for (store::Row r : *rows) {
      Page& p = out.emplace_back(r.string(0), audit_row(r, 3));
      if (!r.null(1)) p.head = ChainHead{r.integer(1), digest_from(r.bytes(2))};
    }
    return out;
  });
}

// Retired by now: no head, and a tombstone.
Result<bool> is_retired(store::Database& db, const std::string& chain) {
  return db.read_now([&](store::Tx& tx) -> Result<bool> {
    auto rows = tx.run("SELECT 1 FROM audit_entries t WHERE t.subject = $1 AND t.action = 'audit.erased' "
                       "AND NOT EXISTS (SELECT 1 FROM audit_heads h WHERE h.chain = $1) LIMIT 1",
                       {chain});
    if (!rows) return fail(rows.error());
    return !rows->empty();
  });
}

Result<void> end_chain(store::Database& db, ChainCheck& check, Findings& findings) {
  if (check.chain().empty()) return {};
  ++findings.report.chains;
  check.end();
  if (check.clean()) return {};
  const auto retired = is_retired(db, check.chain());
  if (!retired) return fail(retired.error());
  if (!*retired) check.tell(findings);
  return {};
}

Result<std::uint64_t> entries_counted(store::Database& db, const std::string& only) {
  return db.read_now([&](store::Tx& tx) -> Result<std::uint64_t> {
    auto rows = tx.run("SELECT CAST(COALESCE(SUM(length), 0) AS BIGINT) FROM audit_heads WHERE $1 = '' OR chain = $1", {only});
    if (!rows) return fail(rows.error());
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, (*rows)[0].integer(0)));
  });
}

Result<void> check_entries(store::Database& db, const AuditVerification& asked, Findings& findings) {
  const std::string& only = asked.chain;
  const auto all = asked.progress ? entries_counted(db, only) : Result<std::uint64_t>(0);
  if (!all) return fail(all.error());
  ChainCheck check;
  std::string chain = only;
  std::int64_t after = INT64_MIN;
  for (;;) {
    const auto page = read_page(db, only.empty() ? kAll : kOne, chain, after);
    if (!page) return fail(page.error());
    for (const Page& p : *page) {
      if (p.chain != check.chain()) {
        if (auto done = end_chain(db, check, findings); !done) return done;
        check = ChainCheck(p.chain);
      }
      check.entry(p.row, p.head);
    }
    findings.report.entries += page->size();
    if (asked.progress) asked.progress(findings.report.entries, *all);
    if (page->size() < kPage) break;
    chain = page->back().chain;
    after = page->back().row.seq;
  }
  return end_chain(db, check, findings);
}

// Heads whose chains have no entries at all.
Result<void> check_bare_heads(store::Database& db, const std::string& only, Findings& findings) {
  std::string after;
  for (;;) {
    const auto page = db.read_now([&](store::Tx& tx) -> Result<std::vector<AnchoredHead>> {
      auto rows = tx.run("SELECT h.chain, h.length FROM audit_heads h WHERE h.chain > $1 AND ($2 = '' OR h.chain = $2) "
                         "AND NOT EXISTS (SELECT 1 FROM audit_entries e WHERE e.chain = h.chain) ORDER BY h.chain LIMIT $3",
                         {after, only, kPage});
      if (!rows) return fail(rows.error());
      std::vector<AnchoredHead> out;
      for (store::Row r : *rows) out.push_back({r.string(0), {r.integer(1), {}}});
      return out;
    });
    if (!page) return fail(page.error());
    for (const auto& bare : *page)
      findings.add(AuditFault::truncated, bare.chain, 1, fmt::format("the head is at {}, there are no entries", bare.head.length));
    if (page->size() < kPage) return {};
    after = page->back().chain;
  }
}

// ---- anchors ----

// What the database has where a head was anchored.
struct Found {
  std::optional<Digest> entry;
  std::optional<std::int64_t> head;
  std::optional<Tombstone> tombstone;
};
using FoundHeads = std::map<std::pair<std::string, std::int64_t>, Found>;

const store::Statement& select_anchored() {
  static const std::string text = [] {
    std::string sql = "WITH wanted(chain, length) AS (VALUES ";
    for (std::size_t i = 0; i < kHeadsAtOnce; ++i) sql += fmt::format("{}(CAST(${} AS TEXT), CAST(${} AS BIGINT))", i ? ", " : "", 2 * i + 1, 2 * i + 2);
    return sql + ") SELECT w.chain, w.length, e.hash, h.length, t.outcome, t.arguments FROM wanted w "
                 "LEFT JOIN audit_entries e ON e.chain = w.chain AND e.seq = w.length LEFT JOIN audit_heads h ON h.chain = w.chain "
                 "LEFT JOIN audit_entries t ON t.subject = w.chain AND t.action = 'audit.erased'";
  }();
  static const store::Statement statement{std::string_view(text)};
  return statement;
}

Result<FoundHeads> find_heads(store::Database& db, std::span<const AnchoredHead> heads) {
  return db.read_now([&](store::Tx& tx) -> Result<FoundHeads> {
    std::vector<store::Value> args;
    for (std::size_t i = 0; i < kHeadsAtOnce; ++i) {
      const AnchoredHead& h = heads[std::min(i, heads.size() - 1)];
      args.emplace_back(h.chain);
      args.emplace_back(h.head.length);
    }
    auto rows = tx.run(select_anchored(), args);
    if (!rows) return fail(rows.error());
    FoundHeads out;
    for (store::Row r : *rows) {
      Found& f = out[{r.string(0), r.integer(1)}];
      if (!r.null(2)) f.entry = digest_from(r.bytes(2));
      f.head = r.maybe_integer(3);
      if (r.null(4)) continue;
      const Tombstone t = tombstone_of(r.text(4), r.bytes(5));
      if (!f.tombstone || f.tombstone->length < t.length) f.tombstone = t;
    }
    return out;
  });
}

void check_anchored(const AnchoredHead& h, const Found& found, const Anchor& anchor, Findings& findings) {
  const std::string when = fmt::format("anchor {} of {}", anchor.number, to_rfc3339(anchor.at));
  const std::int64_t length = h.head.length;
  if (found.entry) {
    if (*found.entry != h.head.hash)
      findings.add(AuditFault::rewritten, h.chain, length, fmt::format("entry {} is another than {} knows: the chain was written anew", length, when));
    return;
  }
  if (found.tombstone && found.tombstone->length >= length && (found.tombstone->length > length || found.tombstone->hash == h.head.hash)) {
    ++findings.report.retired;
    return;
  }
  if (!found.head)
    findings.add(AuditFault::chain_deleted, h.chain, length, fmt::format("{} knows {} entries; the chain is gone and no tombstone says why", when, length));
  else if (*found.head < length)
    findings.add(AuditFault::truncated, h.chain, length, fmt::format("{} knows {} entries, the head is at {}", when, length, *found.head));
  else
    findings.add(AuditFault::deleted, h.chain, length, fmt::format("entry {}, which {} knows, is missing", length, when));
}

struct Known {            // of a node's anchors, as the database has it
  std::int64_t number = 0;
  Digest hash{};
  bool seen = false, file = false;
};

struct AnchorsCheck {
  store::Database& db;
  const AuditVerification& asked;
  Findings& findings;
  std::map<std::string, Known> known;
  bool expected_seen = false;

  Result<void> heads_of(const Anchor& anchor) {
    std::vector<AnchoredHead> wanted;
    for (const AnchoredHead& h : anchor.heads)
      if (asked.chain.empty() || asked.chain == h.chain) wanted.push_back(h);
    for (std::size_t at = 0; at < wanted.size(); at += kHeadsAtOnce) {
      const auto some = std::span<const AnchoredHead>(wanted).subspan(at, std::min(kHeadsAtOnce, wanted.size() - at));
      const auto found = find_heads(db, some);
      if (!found) return fail(found.error());
      for (const AnchoredHead& h : some)
        if (const auto f = found->find({h.chain, h.head.length}); f != found->end()) check_anchored(h, f->second, anchor, findings);
    }
    findings.report.anchored_heads += wanted.size();
    return {};
  }

  void follows(const Anchor& a, const NewestAnchor& last) {
    if (a.number == last.number + 1 && a.previous == last.hash && (last.number == 0 || a.node == last.node)) {
      if (merkle_root(a.heads) != a.root) findings.add(AuditFault::anchors_edited, last.file, a.number, fmt::format("the heads of anchor {} are not those it was made of", a.number));
    } else if (last.number == 0) {
      findings.add(AuditFault::anchors_truncated, last.file, a.number, fmt::format("the file begins with anchor {}", a.number));
    } else {
      findings.add(AuditFault::anchors_edited, last.file, a.number, fmt::format("anchor {} does not follow anchor {}: one of them was changed, or some are missing", a.number, last.number));
    }
  }

  Result<void> file(const std::string& path) {
    auto reader = AnchorReader::open(path);
    if (!reader) return fail(reader.error());
    NewestAnchor last{.file = path};
    for (;;) {
      const auto next = (*reader)->next();
      if (!next) return fail(next.error());
      if (!*next) break;
      const Anchor& a = **next;
      follows(a, last);
      last = {path, a.node, a.number, a.at, anchor_hash(a)};
      ++findings.report.anchors;
      expected_seen = expected_seen || last.hash == asked.expect;
      Known& k = known[a.node];
      k.file = true;
      k.seen = k.seen || (k.number == a.number && k.hash == last.hash);
      if (auto done = heads_of(a); !done) return done;
    }
    if ((*reader)->damaged() > 0) findings.add(AuditFault::anchors_damaged, path, 0, fmt::format("{} bytes are no anchors", (*reader)->damaged()));
    if (last.number > 0) findings.report.newest.push_back(last);
    return {};
  }

  void end() {
    for (const auto& [node, k] : known) {
      if (k.number == 0 || k.seen) continue;
      if (!k.file) findings.add(AuditFault::anchors_missing, "anchors-" + node + ".log", k.number, fmt::format("node {} has {} anchors: its file is missing, or was not given", node, k.number));
      else findings.add(AuditFault::anchors_truncated, "anchors-" + node + ".log", k.number, fmt::format("anchor {}, which the database knows of, is not in the file as it was", k.number));
    }
    if (asked.expect && !expected_seen)
      findings.add(AuditFault::anchors_truncated, "anchors", 0, fmt::format("no file has the expected anchor {}: it was cut off or written anew", to_hex(*asked.expect)));
  }
};

// Read before the files: they may only be ahead.
Result<std::map<std::string, Known>> known_anchors(store::Database& db) {
  return db.read_now([](store::Tx& tx) -> Result<std::map<std::string, Known>> {
    auto rows = tx.run("SELECT node, number, hash FROM audit_anchors ORDER BY node");
    if (!rows) return fail(rows.error());
    std::map<std::string, Known> out;
    for (store::Row r : *rows) out[r.string(0)] = {.number = r.integer(1), .hash = digest_from(r.bytes(2))};
    return out;
  });
}

}  // namespace

std::string_view to_string(AuditFault fault) {
  constexpr std::string_view names[] = {"deleted", "edited", "moved", "unlinked", "inserted", "truncated", "head", "rewritten", "chain_deleted",
                                        "anchors_damaged", "anchors_edited", "anchors_truncated", "anchors_missing"};
  return names[static_cast<std::size_t>(fault)];
}

Result<AuditReport> verify_audit(store::Database& database, std::span<const std::string> anchor_files, const AuditVerification& asked) {
  AuditReport report;
  Findings findings{report, asked.most, {}};
  auto known = known_anchors(database);
  if (!known) return fail(known.error());
  AnchorsCheck anchors{database, asked, findings, std::move(*known)};
  if (auto done = check_entries(database, asked, findings); !done) return fail(done.error());
  if (auto done = check_bare_heads(database, asked.chain, findings); !done) return fail(done.error());
  const auto waiting = database.read_now([](store::Tx& tx) { return unanchored_chains(tx); });
  if (!waiting) return fail(waiting.error());
  for (const std::string& file : anchor_files)
    if (auto done = anchors.file(file); !done) return fail(done.error());
  anchors.end();
  if (*waiting == 0 && report.entries > 0 && anchors.known.empty())
    findings.add(AuditFault::anchors_missing, "anchors", 0, "there are entries that were anchored, and no anchors");
  return report;
}

}  // namespace ballast::records
