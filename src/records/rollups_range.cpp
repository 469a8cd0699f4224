// Asking: which rows and which blocks make up a range, and what they add up to. Two passes where there are groups: who is large, then the sums.
// The first reads rows as coarse as there are, of every user only how many calls each made; where the others are many they are what the largest leave
// of the whole, and of users only the shards of the largest are read.
#include <algorithm>
#include <map>
#include <set>

#include "records/ledger_scan.hpp"
#include "records/rollups_store.hpp"
#include "records/rollups_users.hpp"

namespace ballast::records {

namespace {

using store::Value;

constexpr std::size_t kMostPlain = std::size_t{768} << 20;   // bytes of rows read, unpacked
constexpr std::uint64_t kMostScanned = 4'000'000;            // calls of blocks
constexpr std::size_t kMostNames = 1'000'000, kMostNotes = 500'000;
constexpr std::int64_t kLastSecond = 7'258'118'400;          // 2200

Error too_much(std::string field) {
  return Error{ErrorCode::caller_too_large, "this would read too much: ask for a shorter time, larger steps or fewer filters", std::move(field)};
}

// Which of a rollup's forms tells what is asked.
enum class Form : std::uint8_t { sums, users, cells, blocks };

// What of a row is read.
struct Part {
  Form form = Form::sums;
  std::size_t section = kTotal;            // of sums
  std::string mask;                        // of users: whose shards, as shard_mask has it; empty: all
  std::size_t at_once = 64;                // rows
};

// One value of the asked dimension within one bucket: encoded as it was read, or added up from blocks.
struct Amount {
  std::string_view bytes;
  const Figures* figures = nullptr;
  std::uint64_t calls() const { return figures ? figures->calls : calls_of(bytes); }
  std::uint64_t weight(Rank rank) const {
    if (rank == Rank::calls) return calls();
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, figures ? figures->incurred_nano : incurred_of(bytes)));
  }
  bool add_to(Figures& sum) const {
    if (!figures) return add_figures(sum, bytes);
    sum += *figures;
    return true;
  }
};
using Visit = std::function<bool(std::size_t bucket, std::string_view name, const Amount& amount)>;   // false: damaged

// A stretch to be read in one way; milliseconds.
struct Run {
  std::optional<Level> level;              // nothing: from the blocks
  std::int64_t from = 0, to = 0;
};

class Reading {
 public:
  explicit Reading(const SeriesQuery& q) : query_(q) {
    from_ms_ = std::clamp<std::int64_t>(ceil_ms(q.from), 0, kLastSecond * 1'000);
    to_ms_ = std::clamp<std::int64_t>(ceil_ms(q.to), from_ms_, kLastSecond * 1'000);
    step_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(q.step).count();
    first_ms_ = step_ms_ ? floor_to(from_ms_, step_ms_) : from_ms_;
    std::set<Dimension> asked;
    for (const auto& [d, value] : q.where) asked.insert(d);
    if (q.by) asked.insert(*q.by);
    const bool user = asked.contains(Dimension::user);
    if (user) form_ = asked.size() > 1 || q.where.size() > 1 ? Form::blocks : Form::users;
    else form_ = asked.size() > 1 || q.where.size() > 1 ? Form::cells : Form::sums;
    section_ = asked.empty() ? kTotal : static_cast<std::size_t>(*asked.begin());
    for (const auto& [d, value] : q.where)
      if (d == Dimension::user) user_ = &value;
    for (const Dimension d : asked) told_apart_ = told_apart_.with(d);
    if (q.errors) told_apart_ = told_apart_.with(Dimension::error);
  }
  std::size_t buckets() const { return step_ms_ == 0 ? 1 : static_cast<std::size_t>(std::max<std::int64_t>(1, (to_ms_ - first_ms_ + step_ms_ - 1) / step_ms_)); }
  WallTime start(std::size_t bucket) const {
    return step_ms_ == 0 ? query_.from : WallTime(std::chrono::milliseconds(first_ms_ + static_cast<std::int64_t>(bucket) * step_ms_));
  }

  // What is to be read, and the blocks of it; where `read` has read the same ones and tells apart what is asked here, they are not read again.
  Result<void> begin(store::Tx& tx, const Reading* read = nullptr) {
    if (from_ms_ == to_ms_) return {};     // before 1970, or behind 2200: there are no calls, and an id before the first would be the last
    auto state = rollup_state(tx);
    if (!state) return std::unexpected(state.error());
    state_ = *state;
    if (auto known = learn(tx); !known) return known;
    if (auto planned = plan(); !planned) return planned;
    if (read && blocks() == read->blocks()) {
      scanned_by_other_ = &read->scanned_;
      return {};
    }
    for (const Run& run : runs_)
      if (!run.level)
        if (auto scanned = scan(tx, run); !scanned) return scanned;
    return {};
  }
  Result<void> visit(store::Tx& tx, const Visit& visit) { return visit_part(tx, all_of_it(), runs_, visit); }
  // The same of rows as coarse as there are, for who asks for no bucket.
  Result<void> visit_coarse(store::Tx& tx, const Visit& visit) {
    if (auto known = learn_days(tx); !known) return known;
    return visit_part(tx, all_of_it(), coarse_runs(), visit);
  }

  Rank rank() const { return query_.rank; }
  // By user, of all calls.
  bool every_user() const { return form_ == Form::users && !user_; }
  // Of all calls, by one dimension: what they add up to stands in the same rows.
  bool of_all() const { return query_.by && query_.where.empty() && (form_ == Form::sums || form_ == Form::users); }
  // The same of these values, and maybe of others.
  Result<void> visit_named(store::Tx& tx, const std::vector<std::string>& names, const Visit& visit) {
    if (!every_user()) return this->visit(tx, visit);
    const std::size_t shards = std::min(names.size(), kMostShards);
    return visit_part(tx, {.form = Form::users, .section = kTotal, .mask = shard_mask(names), .at_once = std::max<std::size_t>(4, 64 / (1 + shards / 16))}, runs_, visit);
  }
  // And the whole; names are of no meaning.
  Result<void> visit_whole(store::Tx& tx, const Visit& visit) { return visit_part(tx, {}, runs_, visit); }
  Result<void> count_users(store::Tx& tx, UserCalls& calls) {
    if (auto known = learn_days(tx); !known) return known;
    for (const auto& [bucket, cells] : scanned())
      for (const auto& [key, figures] : cells.all()) calls.add(cells.text(key, Dimension::user), figures.calls);
    for (const Run& run : coarse_runs()) {
      const std::int64_t page = 16 * seconds_of(*run.level);
      for (std::int64_t at = run.from / 1'000; at < run.to / 1'000; at += page)
        if (auto counted = count_rows(tx, *run.level, at, std::min(at + page, run.to / 1'000), calls); !counted) return counted;
    }
    return {};
  }

 private:
  static std::int64_t ceil_ms(WallTime t) { return std::chrono::ceil<std::chrono::milliseconds>(t).time_since_epoch().count(); }
  std::size_t bucket_of(std::int64_t ms) const { return step_ms_ == 0 ? 0 : static_cast<std::size_t>((ms - first_ms_) / step_ms_); }

  Part all_of_it() const { return {.form = form_, .section = section_, .mask = {}, .at_once = every_user() ? 4u : 64u}; }

  Result<void> learn_days(store::Tx& tx) {
    auto oldest = tx.run("SELECT MIN(start_s) FROM rollups WHERE level = 2");
    if (!oldest) return std::unexpected(oldest.error());
    days_from_ = (*oldest)[0].maybe_integer(0).value_or(INT64_MAX);
    return {};
  }

  // Rows that do not tell: noted ones with those above them, and ones whose cells were too many.
  Result<void> learn(store::Tx& tx) {
    const std::int64_t from = floor_to(from_ms_ / 1'000, 86'400), to = to_ms_ / 1'000 + 1;
    auto notes = rollup_notes(tx, from, to, kMostNotes);
    if (!notes) return std::unexpected(notes.error());
    if (notes->size() == kMostNotes) return std::unexpected(too_much("from"));
    for (const RollupNote& n : *notes)
      for (auto level = static_cast<std::size_t>(n.level); level < kLevelSeconds.size(); ++level) stale_[level].insert(floor_to(n.start, kLevelSeconds[level]));
    if (form_ != Form::cells) return {};
    auto wide = tx.run("SELECT level, start_s FROM rollups WHERE start_s >= $1 AND start_s < $2 AND cells IS NULL", {from, to});
    if (!wide) return std::unexpected(wide.error());
    for (const store::Row r : *wide) {
      if (r.integer(0) == 0 && r.integer(1) < state_.calls_from) return std::unexpected(too_much("where"));
      stale_[static_cast<std::size_t>(r.integer(0)) % stale_.size()].insert(r.integer(1));
    }
    return {};
  }

  bool usable(Level level, std::int64_t s) const {
    if (form_ == Form::blocks || !state_.noted || stale_[static_cast<std::size_t>(level)].contains(s)) return false;
    return level == Level::day || s >= (level == Level::minute ? state_.minutes_from : state_.hours_from);
  }
  // The coarsest row from here on that ends by `to` and, if that matters, within its bucket.
  std::optional<Level> level_at(std::int64_t ms, std::int64_t to, bool in_bucket = true) const {
    for (const Level level : {Level::day, Level::hour, Level::minute}) {
      const std::int64_t length = seconds_of(level) * 1'000;
      if (ms % length == 0 && ms + length <= to && (!in_bucket || bucket_of(ms) == bucket_of(ms + length - 1)) && usable(level, ms / 1'000) &&
          (in_bucket || level != Level::day || ms / 1'000 >= days_from_))
        return level;
    }
    return std::nullopt;
  }
  // What is read from rows, of rows as coarse as there are.
  std::vector<Run> coarse_runs() const {
    std::vector<Run> out;
    for (auto run = runs_.begin(); run != runs_.end(); ++run) {
      if (!run->level) continue;
      const std::int64_t from = run->from;
      while (run + 1 != runs_.end() && (run + 1)->level && (run + 1)->from == run->to) ++run;
      for (std::int64_t at = from, end = 0; at < run->to; at = end) {
        const auto level = level_at(at, run->to, false);
        end = at + seconds_of(*level) * 1'000;
        if (out.empty() || out.back().level != level || out.back().to != at) out.push_back({level, at, end});
        out.back().to = end;
      }
    }
    return out;
  }
  Result<void> plan() {
    if ((form_ == Form::blocks || !state_.noted) && from_ms_ >= state_.calls_from * 1'000) {
      runs_.push_back({{}, from_ms_, to_ms_});
      return {};
    }
    for (std::int64_t at = from_ms_; at < to_ms_;) {
      const auto level = level_at(at, to_ms_);
      const std::int64_t end = level ? at + seconds_of(*level) * 1'000 : std::min(to_ms_, floor_to(at, 60'000) + 60'000);
      if (!level && floor_to(at, 60'000) < state_.calls_from * 1'000) {
        if (form_ == Form::blocks)
          return fail(ErrorCode::caller_invalid_request, "the calls of this time are gone: a user and something else together are only told of calls in the ledger", "where");
        return fail(ErrorCode::caller_invalid_request,
                    "of this time only whole hours or days are kept: let from, to and step be whole hours, or days before " + to_rfc3339(WallTime(std::chrono::seconds(state_.hours_from))),
                    "step");
      }
      if (runs_.empty() || runs_.back().level != level || runs_.back().to != at) runs_.push_back({level, at, end});
      runs_.back().to = at = end;
    }
    return {};
  }

  std::vector<std::pair<std::int64_t, std::int64_t>> blocks() const {
    std::vector<std::pair<std::int64_t, std::int64_t>> out;
    for (const Run& run : runs_)
      if (!run.level) out.emplace_back(run.from, run.to);
    return out;
  }

  Result<void> scan(store::Tx& tx, const Run& run) {
    const Id first{static_cast<std::uint64_t>(run.from) << 16, 0}, last = before_id({static_cast<std::uint64_t>(run.to) << 16, 0});
    BlockScan scan(BlockScan::Order::ascending, first, last);
    for (;;) {
      auto block = scan.next(tx);
      if (!block) return std::unexpected(block.error());
      if (!*block) return {};
      SummaryReader reader((*block)->summary);
      std::optional<std::uint32_t> user;
      if (user_) {
        const auto at = std::ranges::find(reader.names(), *user_);
        if (at == reader.names().end()) continue;
        user = static_cast<std::uint32_t>(at - reader.names().begin());
      }
      Cells* begun = nullptr;
      for (CallRow row; reader.next(row);) {
        if (row.id < first || row.id > last || (user && row.name(Name::user) != *user)) continue;
        Cells& cells = scanned_.try_emplace(bucket_of(row.id.unix_ms()), told_apart_).first->second;
        if (&cells != begun) cells.begin(reader.names());
        begun = &cells;
        cells.add(row);
      }
      if (!reader.good()) return std::unexpected(damaged_block());
      if ((calls_scanned_ += reader.calls()) > kMostScanned) return std::unexpected(too_much("from"));
    }
  }

  // The numbers that a cell must have, in this table of names; nothing: no cell can.
  template <class Find>
  std::optional<std::vector<std::pair<std::size_t, std::uint32_t>>> wanted(const Find& find) const {
    std::vector<std::pair<std::size_t, std::uint32_t>> out;
    for (const auto& [d, value] : query_.where) {
      const auto number = find(value);
      if (!number) return std::nullopt;
      out.emplace_back(static_cast<std::size_t>(d), *number);
    }
    return out;
  }
  static bool has(const CellKey& key, const std::vector<std::pair<std::size_t, std::uint32_t>>& wanted) {
    return std::ranges::all_of(wanted, [&](const auto& w) { return key[w.first] == w.second; });
  }

  Result<void> visit_cells(std::size_t bucket, const Cells& cells, const Visit& visit) const {
    const auto numbers = wanted([&](const std::string& value) { return cells.names().find(value); });
    if (!numbers) return {};
    for (const auto& [key, figures] : cells.all())
      if (has(key, *numbers) && !visit(bucket, query_.by ? std::string_view(cells.text(key, *query_.by)) : std::string_view(), {.figures = &figures}))
        return std::unexpected(damaged_rollup());
    return {};
  }

  Result<void> visit_part(store::Tx& tx, const Part& part, std::span<const Run> runs, const Visit& visit) {
    for (const auto& [bucket, cells] : scanned())
      if (auto told = visit_cells(buckets() == 1 ? 0 : bucket, cells, visit); !told) return told;
    for (const Run& run : runs) {
      if (!run.level) continue;
      const std::int64_t page = seconds_of(*run.level) * static_cast<std::int64_t>(part.at_once);
      for (std::int64_t at = run.from / 1'000; at < run.to / 1'000; at += page)
        if (auto told = visit_rows(tx, part, *run.level, at, std::min(at + page, run.to / 1'000), visit); !told) return told;
    }
    return {};
  }

  Result<store::Rows> rows_of(store::Tx& tx, const Part& part, Level level, std::int64_t from, std::int64_t to) const {
    const int n = static_cast<int>(level);
    if (part.form == Form::sums) return tx.run("SELECT start_s, sums FROM rollups WHERE level = $1 AND start_s >= $2 AND start_s < $3", {n, from, to});
    if (part.form == Form::cells) return tx.run("SELECT start_s, cells FROM rollups WHERE level = $1 AND start_s >= $2 AND start_s < $3", {n, from, to});
    if (!part.mask.empty())
      return tx.run("SELECT start_s, users FROM rollup_users WHERE level = $1 AND start_s >= $2 AND start_s < $3 AND "
                    "substr(CAST($4 AS TEXT), CAST(shards + shard AS INTEGER), 1) = '1'", {n, from, to, part.mask});
    if (!user_) return tx.run("SELECT start_s, users FROM rollup_users WHERE level = $1 AND start_s >= $2 AND start_s < $3", {n, from, to});
    return tx.run("SELECT start_s, users FROM rollup_users WHERE level = $1 AND start_s >= $2 AND start_s < $3 AND shard = ($4 & (shards - 1))",
                  {n, from, to, stable_hash(*user_) & (kMostShards - 1)});
  }

  Result<std::string> unpack_row(std::string_view packed) {
    auto plain = unpack_column(packed);
    if (plain && (plain_read_ += plain->size()) > 2 * kMostPlain) return std::unexpected(too_much("from"));
    return plain;
  }
  Result<void> visit_rows(store::Tx& tx, const Part& part, Level level, std::int64_t from, std::int64_t to, const Visit& visit) {
    auto rows = rows_of(tx, part, level, from, to);
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row row : *rows) {
      const auto plain = unpack_row(row.bytes(1));
      if (!plain) return std::unexpected(plain.error());
      const std::size_t bucket = bucket_of(row.integer(0) * 1'000);
      const bool good = part.form == Form::cells ? visit_encoded_cells(*plain, bucket, visit) : visit_entries(part, *plain, bucket, visit);
      if (!good) return std::unexpected(damaged_rollup());
    }
    return {};
  }
  bool visit_entries(const Part& part, std::string_view plain, std::size_t bucket, const Visit& visit) const {
    const std::string* only = query_.where.empty() ? nullptr : &query_.where.front().second;
    bool good = true;
    const OnEntry entry = [&](std::string_view name, std::string_view figures) {
      if (!only || name == *only) good = visit(bucket, query_.by ? name : std::string_view(), {.bytes = figures}) && good;
    };
    return (part.form == Form::users ? read_section(plain, entry) : read_sums(plain, part.section, entry)) && good;
  }

  // Rows from before there were counts, and minutes, tell by their shards.
  Result<void> count_rows(store::Tx& tx, Level level, std::int64_t from, std::int64_t to, UserCalls& calls) {
    const Visit add = [&](std::size_t, std::string_view name, const Amount& amount) {
      calls.add(name, amount.calls());
      return true;
    };
    const Part all{.form = Form::users, .section = kTotal, .mask = {}, .at_once = 1};
    if (level == Level::minute) return visit_rows(tx, all, level, from, to, add);
    auto rows = tx.run("SELECT r.start_s, c.calls FROM rollups AS r LEFT JOIN rollup_user_calls AS c ON c.level = r.level AND c.start_s = r.start_s "
                       "WHERE r.level = $1 AND r.start_s >= $2 AND r.start_s < $3", {static_cast<int>(level), from, to});
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row row : *rows) {
      if (row.null(1)) {
        if (auto read = visit_rows(tx, all, level, row.integer(0), row.integer(0) + 1, add); !read) return read;
      } else {
        const auto plain = unpack_row(row.bytes(1));
        if (!plain) return std::unexpected(plain.error());
        if (!calls.add(*plain)) return std::unexpected(damaged_rollup());
      }
      if (calls.size() > kMostNames) return std::unexpected(too_much("by"));
    }
    return {};
  }
  bool visit_encoded_cells(std::string_view plain, std::size_t bucket, const Visit& visit) const {
    std::vector<std::string_view> names;
    std::optional<std::vector<std::pair<std::size_t, std::uint32_t>>> numbers;
    bool good = true;
    const auto told = [&](std::vector<std::string_view>&& texts) {
      names = std::move(texts);
      numbers = wanted([&](const std::string& value) -> std::optional<std::uint32_t> {
        const auto at = std::ranges::find(names, value);
        return at == names.end() ? std::nullopt : std::optional(static_cast<std::uint32_t>(at - names.begin()));
      });
    };
    const auto cell = [&](const CellKey& key, std::string_view figures) {
      if (numbers && has(key, *numbers))
        good = visit(bucket, query_.by ? names[key[static_cast<std::size_t>(*query_.by)]] : std::string_view(), {.bytes = figures}) && good;
    };
    return read_cells(plain, told, cell) && good;
  }

  const std::map<std::size_t, Cells>& scanned() const { return scanned_by_other_ ? *scanned_by_other_ : scanned_; }

  const SeriesQuery& query_;
  Form form_ = Form::sums;
  std::size_t section_ = kTotal;
  const std::string* user_ = nullptr;      // the one that is asked for
  std::int64_t from_ms_ = 0, to_ms_ = 0, step_ms_ = 0, first_ms_ = 0;
  RollupState state_;
  std::array<std::set<std::int64_t>, 3> stale_;
  std::vector<Run> runs_;
  DimensionSet told_apart_;
  std::map<std::size_t, Cells> scanned_;   // what the blocks told, by bucket
  const std::map<std::size_t, Cells>* scanned_by_other_ = nullptr;
  std::uint64_t calls_scanned_ = 0;
  std::size_t plain_read_ = 0;
  std::int64_t days_from_ = 0;             // the oldest day there is, for who counts: hours may be kept longer
};

// The names of the largest groups, in order, and how many others there are.
Result<std::vector<std::string>> largest(store::Tx& tx, Reading& reading, std::size_t limit, std::size_t& others) {
  if (reading.every_user()) {
    UserCalls calls;
    if (auto counted = reading.count_users(tx, calls); !counted) return std::unexpected(counted.error());
    others = calls.size() - std::min(limit, calls.size());
    return calls.largest(limit);
  }
  std::unordered_map<std::string, std::uint64_t, StringHash, std::equal_to<>> weights;
  const Visit weigh = [&](std::size_t, std::string_view name, const Amount& amount) {
    auto at = weights.find(name);
    if (at == weights.end()) at = weights.emplace(name, 0).first;
    if (const std::uint64_t more_of_it = amount.weight(reading.rank()); __builtin_add_overflow(at->second, more_of_it, &at->second)) at->second = UINT64_MAX;
    return true;
  };
  if (auto told = reading.visit_coarse(tx, weigh); !told) return std::unexpected(told.error());
  if (weights.size() > kMostNames) return std::unexpected(too_much("by"));
  std::vector<std::pair<std::uint64_t, std::string_view>> all;
  for (const auto& [name, n] : weights) all.emplace_back(n, name);
  std::ranges::sort(all, [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  others = all.size() - std::min(limit, all.size());
  std::vector<std::string> out;
  for (std::size_t i = 0; i < all.size() - others; ++i) out.emplace_back(all[i].second);
  return out;
}

// Every group's buckets; those that are not named go into the one behind the names, if there is one.
Result<void> add_groups(store::Tx& tx, Reading& reading, std::span<const std::string> names, std::vector<SeriesGroup>& groups) {
  std::unordered_map<std::string_view, std::size_t, StringHash, std::equal_to<>> numbers;
  for (std::size_t i = 0; i < names.size(); ++i) numbers.emplace(names[i], i);
  return reading.visit(tx, [&](std::size_t bucket, std::string_view name, const Amount& amount) {
    const auto at = numbers.find(name);
    const std::size_t group = at == numbers.end() ? names.size() : at->second;
    return group == groups.size() || amount.add_to(groups[group].buckets[bucket]);
  });
}

// The same where the others are not added up: the last group, if it is not named, is the whole without the named.
Result<void> add_named(store::Tx& tx, Reading& reading, const std::vector<std::string>& names, std::vector<SeriesGroup>& groups) {
  std::unordered_map<std::string_view, std::size_t, StringHash, std::equal_to<>> numbers;
  for (std::size_t i = 0; i < names.size(); ++i) numbers.emplace(names[i], i);
  const Visit named = [&](std::size_t bucket, std::string_view name, const Amount& amount) {
    const auto at = numbers.find(name);
    return at == numbers.end() || amount.add_to(groups[at->second].buckets[bucket]);
  };
  if (auto told = reading.visit_named(tx, names, named); !told || groups.size() == names.size()) return told;
  std::vector<Figures>& others = groups.back().buckets;
  if (auto told = reading.visit_whole(tx, [&](std::size_t bucket, std::string_view, const Amount& amount) { return amount.add_to(others[bucket]); }); !told) return told;
  for (std::size_t i = 0; i < names.size(); ++i)
    for (std::size_t bucket = 0; bucket < others.size(); ++bucket) others[bucket] -= groups[i].buckets[bucket];
  return {};
}

Result<void> check(const SeriesQuery& q, std::size_t buckets) {
  constexpr Duration minute = std::chrono::minutes(1);
  if (q.step < Duration::zero() || q.step % minute != Duration::zero()) return fail(ErrorCode::caller_invalid_request, "must be whole minutes", "step");
  if (q.from >= q.to) return fail(ErrorCode::caller_invalid_request, "must be before to", "from");
  if (buckets > kMostBuckets)
    return fail(ErrorCode::caller_invalid_request, "makes more than " + std::to_string(kMostBuckets) + " buckets: ask for larger steps", "step");
  const std::size_t groups = q.names.empty() ? q.groups : q.names.size();
  if (groups < 1 || groups > 1'000) return fail(ErrorCode::caller_invalid_request, "must be 1 to 1000", "groups");
  if (q.by && (groups + 1) * buckets > kMostCharted)
    return fail(ErrorCode::caller_invalid_request, "groups times buckets must be " + std::to_string(kMostCharted) + " at most", "groups");
  return {};
}

Result<std::vector<std::pair<std::string, std::uint64_t>>> errors_of(store::Tx& tx, const SeriesQuery& q, const Reading& read) {
  SeriesQuery by_error{.from = q.from, .to = q.to, .step = {}, .where = q.where, .by = Dimension::error, .groups = 101};
  std::vector<std::pair<std::string, std::uint64_t>> out;
  Reading reading(by_error);
  if (auto begun = reading.begin(tx, &read); !begun) return std::unexpected(begun.error());
  std::map<std::string, std::uint64_t, std::less<>> calls;
  const Visit count = [&](std::size_t, std::string_view name, const Amount& amount) {
    if (!name.empty()) calls[std::string(name)] += amount.calls();
    return true;
  };
  if (auto told = reading.visit(tx, count); !told) return std::unexpected(told.error());
  out.assign(calls.begin(), calls.end());
  std::ranges::sort(out, [](const auto& a, const auto& b) { return a.second != b.second ? a.second > b.second : a.first < b.first; });
  if (out.size() > 100) out.resize(100);
  return out;
}

}  // namespace

Result<Series> range(store::Tx& tx, const SeriesQuery& query) {
  Reading reading(query);
  if (auto good = check(query, reading.buckets()); !good) return std::unexpected(good.error());
  if (auto begun = reading.begin(tx); !begun) return std::unexpected(begun.error());
  Series out{.from = query.from, .to = query.to, .step = query.step};
  for (std::size_t i = 0; i < reading.buckets(); ++i) out.starts.push_back(reading.start(i));
  std::vector<std::string> names = {""};
  std::size_t others = 0;
  if (query.by && !query.names.empty()) {
    names = query.names;
  } else if (query.by) {
    auto found = largest(tx, reading, query.groups, others);
    if (!found) return std::unexpected(found.error());
    names = std::move(*found);
  }
  for (const std::string& name : names) out.groups.push_back({.name = name, .buckets = std::vector<Figures>(out.starts.size())});
  if (others) out.groups.push_back({.name = "other", .rest = true, .buckets = std::vector<Figures>(out.starts.size())});
  const bool few = reading.every_user() ? others || !query.names.empty() : others > names.size();   // the others are dearer to add up than the whole
  if (auto added = few && reading.of_all() ? add_named(tx, reading, names, out.groups) : add_groups(tx, reading, names, out.groups); !added) return std::unexpected(added.error());
  for (SeriesGroup& group : out.groups) {
    for (const Figures& f : group.buckets) group.total += f;
    out.total += group.total;
  }
  if (query.errors) {
    auto errors = errors_of(tx, query, reading);
    if (!errors) return std::unexpected(errors.error());
    out.errors = std::move(*errors);
  }
  return out;
}

}  // namespace ballast::records
