#include "query/run.hpp"

#include <algorithm>
#include <cmath>

#include "base/hash.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace ballast::query {

namespace {

constexpr std::size_t kHashDigits = 12;
// Every function that sql.hpp writes for SQLite; `like` is the operator's.
constexpr std::string_view kFunctions[] = {"abs", "avg", "coalesce", "count", "date", "datetime", "dense_rank", "julianday", "lag", "length", "like", "lower",
                                           "max", "min", "nullif", "rank", "round", "row_number", "strftime", "sum", "upper"};

std::vector<store::Value> values_of(const std::vector<Parameter>& parameters) {
  std::vector<store::Value> out;
  for (const auto& p : parameters) out.push_back(p.as<store::Value>());
  return out;
}

json::value cell(const store::Row& row, std::size_t at, Type type) {
  if (row.null(at)) return nullptr;
  switch (row.kind(at)) {
    case store::Kind::integer: return type == Type::boolean ? json::value(row.boolean(at)) : json::value(row.integer(at));
    case store::Kind::real: return std::isfinite(row.real(at)) ? json::value(row.real(at)) : json::value(nullptr);   // JSON has no other numbers
    case store::Kind::bytes: return json::value(to_hex(row.bytes(at)));
    default: return is_utf8(row.text(at)) ? json::value(row.text(at)) : json::value(to_hex(row.text(at)));
  }
}

}  // namespace

store::Gate gate_of(const Dataset& dataset) {
  store::Gate gate;
  for (const auto& t : dataset.tables) {
    const std::string_view source = t.source;
    auto& columns = gate.tables[to_lower_ascii(source.substr(source.find('.') == std::string_view::npos ? 0 : source.find('.') + 1))];
    for (const auto& c : t.columns) columns.insert(to_lower_ascii(c.source));
  }
  for (const auto f : kFunctions) gate.functions.emplace(f);
  return gate;
}

json::value Masker::apply(Mask mask, const json::value& value) const {
  if (mask == Mask::none || value.is_null()) return value;
  if (mask == Mask::hide) return json::value("•••");
  const std::string text = value.is_string() ? std::string(value.get_string()) : to_json(value);
  if (mask == Mask::hash) return json::value("#" + to_hex(hmac_sha256(key_, text)).substr(0, kHashDigits));
  // The first letter; of an address also where it leads.
  if (!value.is_string()) return json::value("•••");
  std::size_t first = 1;
  while (first < text.size() && (static_cast<unsigned char>(text[first]) & 0xc0) == 0x80) ++first;
  const auto at = text.find('@');
  return json::value((text.size() > first ? text.substr(0, first) : std::string()) + "•••" + (at != std::string::npos && at > 0 ? text.substr(at) : std::string()));
}

Runner::Runner(const Dataset& dataset, const Clock& clock, unsigned readers)
    : dataset_(dataset), clock_(clock), readers_(readers), masker_(dataset.mask_key.empty() ? secret_token() : dataset.mask_key) {}
Runner::~Runner() = default;

store::Dialect Runner::dialect() const { return dataset_.database.starts_with("sqlite:") ? store::Dialect::sqlite : store::Dialect::postgres; }

Result<store::Database*> Runner::database() {
  std::lock_guard lock(opening_);
  if (!database_) {
    auto opened = store::open_foreign(dataset_.database, {.readers = readers_, .max_bytes = dataset_.limits.bytes, .gate = gate_of(dataset_), .clock = &clock_});
    if (!opened) return std::unexpected(opened.error());
    database_ = std::move(*opened);
  }
  return database_.get();
}

store::ReadOptions Runner::limits() const { return {.limit = std::max(std::chrono::milliseconds(1), std::chrono::duration_cast<std::chrono::milliseconds>(dataset_.limits.timeout))}; }

Answer Runner::answer_of(const Statement& statement, const store::Rows& rows, MonoTime began) const {
  Answer out{.columns = statement.columns};
  out.truncated = rows.size() > static_cast<std::size_t>(statement.rows);
  const std::size_t shown = std::min(rows.size(), static_cast<std::size_t>(statement.rows));
  for (std::size_t i = 0; i < shown; ++i) {
    json::array row;
    for (std::size_t c = 0; c < statement.columns.size(); ++c) row.push_back(masker_.apply(statement.columns[c].mask, cell(rows[i], c, statement.columns[c].type)));
    out.rows.push_back(std::move(row));
  }
  out.took = clock_.mono() - began;
  return out;
}

Task<Result<Answer>> Runner::run(Scheduler& loop, Statement statement) {
  const MonoTime began = clock_.mono();
  auto db = database();
  if (!db) co_return std::unexpected(db.error());
  const auto values = values_of(statement.parameters);
  auto body = [&](store::Tx& tx) { return tx.run(store::Statement(std::string_view(statement.sql)), values); };
  auto rows = co_await (*db)->read(loop, std::move(body), limits());
  if (!rows) co_return std::unexpected(rows.error());
  co_return answer_of(statement, *rows, began);
}

Result<Answer> Runner::run_now(const Statement& statement) {
  const MonoTime began = clock_.mono();
  auto db = database();
  if (!db) return std::unexpected(db.error());
  const auto values = values_of(statement.parameters);
  auto rows = (*db)->read_now([&](store::Tx& tx) { return tx.run(store::Statement(std::string_view(statement.sql)), values); }, limits());
  if (!rows) return std::unexpected(rows.error());
  return answer_of(statement, *rows, began);
}

}  // namespace ballast::query
