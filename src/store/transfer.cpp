#include "store/transfer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "store/backup.hpp"
#include "store/drivers.hpp"
#include "store/moves.hpp"
#include "store/schema_steps.hpp"
#include "store/transfer_tables.hpp"

namespace ballast::store {

namespace {

constexpr std::uint64_t kWorthStatistics = 10'000;         // rows
constexpr int kTries = 3;                                    // of putting a range so that it reads back the same
constexpr std::string_view kOwnTables[] = {"schema_migrations", "store_moves", "store_move_ranges", "store_move_notes"};

Error refused(std::string message) { return {.code = ErrorCode::caller_conflict, .message = std::move(message), .field = "database"}; }

// In a transaction of its own.
template <class F>
Result<void> in_one(TransferSide& side, F body) {
  if (auto begun = side.begin(); !begun) return begun;
  Result<void> done = body();
  if (done) done = side.commit();
  if (!done) side.roll_back();
  return done;
}

class Transferring final : public Transfer {
 public:
  Transferring(std::string_view from, std::string_view to, TransferOptions options) : from_url_(from), to_url_(to), options_(std::move(options)) {}

  Result<void> open() {
    auto from = open_side(from_url_, TransferRole::source);
    if (!from) return std::unexpected(from.error());
    from_ = std::move(*from);
    if (auto ready = check_source(); !ready) return ready;
    if (options_.only_known && to_url_.starts_with("sqlite:") && !std::filesystem::exists(to_url_.substr(7))) return std::unexpected(unknown());
    auto to = open_side(to_url_, TransferRole::target);
    if (!to) return std::unexpected(to.error());
    to_ = std::move(*to);
    if (auto marked = mark(); !marked || finished()) return marked ? find_tables() : marked;
    if (auto fast = to_->wait_for_disk(false); !fast) return fast;
    if (auto made = make_schema(); !made) return made;
    return find_tables();
  }

  bool finished() const override { return move_.state == MoveState::done || move_.state == MoveState::used; }
  bool used() const override { return move_.state == MoveState::used; }

  Result<TransferReport> pass() override {
    const MonoTime began = clock_.mono();
    std::uint64_t bytes = 0, done = 0;
    const auto slowly = [&](const RowSum& page) {
      bytes += page.bytes;
      if (options_.bytes_per_second) std::this_thread::sleep_until(began + std::chrono::microseconds(bytes * 1'000'000 / options_.bytes_per_second));
    };
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      Part& part = *parts_[i];
      if (auto same = settle(part, watching("copying", i, done, slowly)); !same) return std::unexpected(same.error());
    }
    polish();
    return report();
  }

  Result<TransferReport> finish() override {
    if (finished()) return fail(ErrorCode::caller_conflict, "this transfer is finished", "database");
    std::vector<TransferTable> tables;
    for (const auto& part : parts_) tables.push_back(part->transfer.table());
    if (auto frozen = from_->freeze(tables); !frozen) return std::unexpected(frozen.error());
    auto moved = move_rest();
    if (!moved) {
      from_->roll_back();
      return std::unexpected(moved.error());
    }
    polish();
    return report();
  }

  Result<TransferReport> verify() override {
    TransferReport out = report();
    std::uint64_t done = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const auto sums = parts_[i]->transfer.compare(watching("comparing", i, done, [](const RowSum&) {}));
      if (!sums) return std::unexpected(sums.error());
      TransferredTable& t = out.tables[i];
      t.rows = sums->first.rows, t.bytes = sums->first.bytes, t.checksum = sums->first.hex();
      t.target_rows = sums->second.rows, t.target_checksum = sums->second.hex();
    }
    return total(std::move(out));
  }

  Result<void> take_back() override {
    if (auto frozen = to_->freeze({}); !frozen) return frozen;
    auto back = [&]() -> Result<void> {                      // nobody can begin to use it meanwhile
      auto now = read_move(*to_, MoveEnd::to);
      if (!now) return std::unexpected(now.error());
      if (*now && (**now).state == MoveState::used)
        return std::unexpected(refused("the target has been worked with since: taking the source back would lose that; move it back instead, into a new database"));
      move_.state = MoveState::filling;
      if (auto unmarked = write_move(*to_, MoveEnd::to, told(from_url_)); !unmarked) return unmarked;
      return to_->commit();
    }();
    if (!back) {
      to_->roll_back();
      return back;
    }
    return in_one(*from_, [&] { return open_again(); });
  }

 private:
  struct Part {
    Part(TransferSide& from, TransferSide& to, TransferTable table, PageLimits limits) : transfer(from, to, std::move(table), limits) {}
    TableTransfer transfer;
    std::uint64_t about = 0;                 // rows
    RowSum copied;
    bool polished = false;
  };

  Error unknown() const { return refused(fmt::format("nothing was begun to be moved from {} to {}", shown_url(from_url_), shown_url(to_url_))); }
  Move told(std::string_view other) const { return {.id = move_.id, .state = move_.state, .other = shown_url(other), .at = clock_.wall()}; }
  Result<void> open_again() {
    Move open = told(to_url_);
    open.state = MoveState::open;
    return write_move(*from_, MoveEnd::from, open);
  }

  Result<void> check_source() {
    auto there = from_->tables();
    if (!there) return std::unexpected(there.error());
    const auto has = [&](std::string_view name) { return std::ranges::find(*there, name, &TransferTable::name) != there->end(); };
    if (!has("schema_migrations")) return std::unexpected(refused(shown_url(from_url_) + " holds no installation"));
    auto rows = from_->run("SELECT module, version, checksum FROM schema_migrations ORDER BY module, version");
    if (!rows) return std::unexpected(rows.error());
    std::vector<SchemaStep> steps;
    for (const Row r : *rows) steps.push_back({r.string(0), r.string(2), r.integer(1)});
    if (auto fine = check_steps(options_.known, steps); !fine) return fine;
    for (const Migration& m : options_.known)
      if (std::ranges::none_of(steps, [&](const SchemaStep& s) { return s.module == m.module && s.version == m.version; }))
        return std::unexpected(refused(fmt::format("the source's schema \"{}\" is older than this program's: serve it with this version once, then move it", m.module)));
    auto to = read_move(*from_, MoveEnd::to);
    if (!to) return std::unexpected(to.error());
    if (*to && (**to).state != MoveState::done && (**to).state != MoveState::used)
      return std::unexpected(refused(fmt::format("the source is itself being filled from {} and is not whole", (**to).other)));
    return {};
  }

  // Both sides know of the transfer before a row goes over; the source first, so that a target never has one that no source knows.
  Result<void> mark() {
    auto source = read_move(*from_, MoveEnd::from);
    if (!source) return std::unexpected(source.error());
    auto target = read_move(*to_, MoveEnd::to);
    if (!target) return std::unexpected(target.error());
    const bool filled = *target && ((**target).state == MoveState::done || (**target).state == MoveState::used);
    const bool same = *source && *target && (**source).id == (**target).id;
    if (filled && !same) return std::unexpected(refused(shown_url(to_url_) + " holds an installation: the target must be empty"));
    if (*target && same && !options_.start_over) {
      move_ = **target;
      if (filled && (**source).state != MoveState::left) return std::unexpected(refused("the source was taken back after it was moved, and the target is in use"));
      return {};
    }
    if (options_.only_known) return std::unexpected(unknown());
    if (*source && (**source).state == MoveState::left)
      return std::unexpected(refused(fmt::format("{} was moved to {} already: that is the installation now", shown_url(from_url_), (**source).other)));
    if (filled) return std::unexpected(refused(shown_url(to_url_) + " holds an installation: nothing is started over there"));
    if (*target && !options_.start_over)
      return std::unexpected(refused(fmt::format("{} is a part of {}, which another transfer has begun to move there; --start-over empties it", shown_url(to_url_), (**target).other)));
    return begin_anew(target->has_value());
  }

  Result<void> begin_anew(bool clear) {
    auto there = to_->tables();
    if (!there) return std::unexpected(there.error());
    auto ours = tables_of(options_.known);
    ours.insert(ours.end(), std::begin(kOwnTables), std::end(kOwnTables));
    for (const TransferTable& table : *there) {
      if (std::ranges::find(ours, table.name) == ours.end()) continue;
      if (!clear) return std::unexpected(refused(fmt::format("{} is not empty (it has a table {}): name an empty database", shown_url(to_url_), table.name)));
      if (auto gone = to_->run("DROP TABLE " + in_quotes(table.name)); !gone) return std::unexpected(gone.error());
    }
    move_ = {.id = to_string(new_id(clock_.wall()), "move"), .state = MoveState::filling, .other = {}, .at = {}};
    if (auto source = in_one(*from_, [&] { return open_again(); }); !source) return source;
    return in_one(*to_, [&] { return write_move(*to_, MoveEnd::to, told(from_url_)); });
  }

  Result<void> make_schema() {
    auto database = open_database(to_url_, {.readers = 1});
    if (!database) return std::unexpected(database.error());
    return apply_steps(**database, options_.known);
  }

  // Whatever the source has and this program's schema makes, which is what the target has: no list of names could forget one.
  Result<void> find_tables() {
    auto sources = from_->tables();
    if (!sources) return std::unexpected(sources.error());
    auto targets = to_->tables();
    if (!targets) return std::unexpected(targets.error());
    for (TransferTable& table : *sources) {
      if (std::ranges::find(kOwnTables, table.name) != std::end(kOwnTables) || std::ranges::find(options_.left_out, table.name, &LeftOut::table) != options_.left_out.end()) continue;
      const auto target = std::ranges::find(*targets, table.name, &TransferTable::name);
      if (target == targets->end()) {
        strangers_.push_back(table.name);
        continue;
      }
      const auto names = [](const TransferTable& t) {
        std::set<std::pair<std::string, Kind>> out;
        for (const auto& c : t.columns) out.emplace(c.name, c.kind);
        return out;
      };
      if (names(table) != names(*target)) return std::unexpected(refused(fmt::format("table {} has other columns in {} than in {}", table.name, shown_url(from_url_), shown_url(to_url_))));
      if (!table.sortable()) return std::unexpected(refused(fmt::format("table {} has no primary key that both databases sort alike", table.name)));
      parts_.push_back(std::make_unique<Part>(*from_, *to_, std::move(table), PageLimits{.rows = options_.range_rows, .bytes = options_.range_bytes}));
    }
    for (const auto& part : parts_) {
      if (auto loaded = part->transfer.load(); !loaded) return loaded;
      auto about = from_->rows_about(part->transfer.table());
      if (!about) return std::unexpected(about.error());
      part->about = *about;
    }
    return {};
  }

  TableTransfer::Watch watching(std::string_view what, std::size_t i, std::uint64_t& done, std::function<void(const RowSum&)> also) {
    Part& part = *parts_[i];
    done = 0;
    std::string told = fmt::format("{} {} ({}/{})", what, part.transfer.table().name, i + 1, parts_.size());
    return {.seen = [this, &part, &done, told = std::move(told), also = std::move(also)](const RowSum& page) {
              options_.progress(told, done += page.rows, part.about);
              also(page);
            },
            .put = [&part](const RowSum& page) { part.copied.add(page); }};
  }

  // So that the first statements of the first server are planned by what is there. Without it they are slower, no more.
  void polish() {
    for (const auto& part : parts_)
      if (!part->polished && part->copied.rows >= kWorthStatistics) part->polished = to_->polish(part->transfer.table()).has_value();
  }

  // What was put reads back as what was meant.
  Result<void> settle(Part& part, const TableTransfer::Watch& watch) {
    for (int n = 0; n < kTries; ++n) {
      if (auto passed = part.transfer.pass(watch); !passed) return passed;
      auto same = part.transfer.check(watch);
      if (!same) return std::unexpected(same.error());
      if (*same) return {};
    }
    return fail(ErrorCode::internal_error, fmt::format("table {} does not read back as it was written: somebody else writes to {}", part.transfer.table().name, shown_url(to_url_)), "database");
  }

  Result<void> move_rest() {
    std::uint64_t done = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      Part& part = *parts_[i];
      if (auto same = settle(part, watching("finishing", i, done, [](const RowSum&) {})); !same) return same;
      const auto rows = part.transfer.target_rows();
      if (!rows) return std::unexpected(rows.error());
      if (*rows != part.transfer.sum().rows)
        return fail(ErrorCode::internal_error, fmt::format("table {} has {} rows in the target for {} of the source", part.transfer.table().name, *rows, part.transfer.sum().rows), "database");
    }
    if (auto durable = to_->wait_for_disk(true); !durable) return durable;
    move_.state = MoveState::whole;
    if (auto whole = in_one(*to_, [&] { return write_whole(); }); !whole) return whole;
    Move left = told(to_url_);
    left.state = MoveState::left;
    if (auto written = write_move(*from_, MoveEnd::from, left); !written) return written;
    if (auto committed = from_->commit(); !committed) return committed;
    move_.state = MoveState::done;
    return in_one(*to_, [&] { return write_move(*to_, MoveEnd::to, told(from_url_)); });
  }

  Result<void> write_whole() {
    if (options_.note)
      if (auto noted = write_note(*to_, options_.note(report())); !noted) return noted;
    return write_move(*to_, MoveEnd::to, told(from_url_));
  }

  TransferReport report() const {
    TransferReport out{.id = move_.id, .tables = {}, .strangers = strangers_};
    for (const auto& part : parts_) {
      const RowSum sum = part->transfer.sum();
      out.tables.push_back({.name = part->transfer.table().name, .rows = sum.rows, .bytes = sum.bytes, .checksum = sum.hex(), .target_rows = sum.rows,
                            .target_checksum = sum.hex(), .copied = part->copied.rows});
      out.copied_rows += part->copied.rows;
      out.copied_bytes += part->copied.bytes;
    }
    return total(std::move(out));
  }
  static TransferReport total(TransferReport out) {
    out.rows = out.bytes = 0;
    for (const auto& t : out.tables) out.rows += t.rows, out.bytes += t.bytes;
    return out;
  }

  const std::string from_url_, to_url_;
  const TransferOptions options_;
  const Clock& clock_ = system_clock();
  std::unique_ptr<TransferSide> from_, to_;
  Move move_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::vector<std::string> strangers_;
};

}  // namespace

Result<std::unique_ptr<TransferSide>> open_side(std::string_view url, TransferRole role) {
  constexpr std::string_view lite = "sqlite:";
  if (url.starts_with(lite)) return sqlite_side(std::string(url.substr(lite.size())), role);
  if (url.starts_with("postgres://") || url.starts_with("postgresql://")) return postgres_side(std::string(url), role);
  return fail(ErrorCode::caller_invalid_request, "must be sqlite:FILE or postgres://…", "database");
}

Result<std::unique_ptr<Transfer>> Transfer::open(std::string_view from, std::string_view to, TransferOptions options) {
  if (from == to) return fail(ErrorCode::caller_invalid_request, "the source and the target are the same", "database");
  auto transfer = std::make_unique<Transferring>(from, to, std::move(options));
  if (auto opened = transfer->open(); !opened) return std::unexpected(opened.error());
  return transfer;
}

}  // namespace ballast::store
