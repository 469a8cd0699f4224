#include "store/postgres/connection.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "store/drivers.hpp"
#include "store/postgres/silence.hpp"

namespace ballast::store {

namespace {

constexpr std::size_t kMaxPrepared = 512;
constexpr std::size_t kMaxCells = std::size_t{1} << 20;
constexpr std::size_t kPipelined = 256;
constexpr std::size_t kGuarded = 4;      // rows that the server is told to look at; of more it costs more than the round trip that it saves
constexpr std::size_t kSetRows = 4'096, kSetBytes = std::size_t{1} << 20;   // of one statement of `run_set`, unless one row is larger

enum : Oid { kBool = 16, kBytea = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25, kFloat4 = 700, kFloat8 = 701, kVoid = 2278 };
enum : Oid { kByteaArray = 1001, kTextArray = 1009, kInt8Array = 1016, kFloat8Array = 1022 };

template <class T>
T big_endian(T v) { return std::endian::native == std::endian::little ? std::byteswap(v) : v; }
template <class T>
T load(const char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return big_endian(v);
}

Fault fault_for(std::string_view state) {
  if (state.starts_with("23")) return Fault::conflict;
  if (state == "53100") return Fault::full;
  if (state.empty() || state.starts_with("08") || state.starts_with("57P") || state.starts_with("53") || state.starts_with("40")) return Fault::unavailable;
  if (state == "57014" || state == "55P03") return Fault::timeout;
  return Fault::broken;
}

// The arguments of one run as libpq wants them. Integers and doubles are kept here in network order.
class Wire {
 public:
  explicit Wire(std::span<const Value> values) : numbers_(values.size()), pointers_(values.size()), lengths_(values.size()), formats_(values.size(), 1) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Value& v = values[i];
      switch (v.kind()) {
        case Kind::null: pointers_[i] = nullptr; continue;
        case Kind::integer: numbers_[i] = big_endian(static_cast<std::uint64_t>(v.integer())); break;
        case Kind::real: numbers_[i] = big_endian(std::bit_cast<std::uint64_t>(v.real())); break;
        case Kind::text:
        case Kind::bytes:
          pointers_[i] = v.text().data() ? v.text().data() : "";
          lengths_[i] = static_cast<int>(v.text().size());
          continue;
      }
      pointers_[i] = reinterpret_cast<const char*>(&numbers_[i]);
      lengths_[i] = 8;
    }
  }
  int count() const { return static_cast<int>(pointers_.size()); }
  const char* const* pointers() const { return pointers_.data(); }
  const int* lengths() const { return lengths_.data(); }
  const int* formats() const { return formats_.data(); }

 private:
  std::vector<std::uint64_t> numbers_;
  std::vector<const char*> pointers_;
  std::vector<int> lengths_, formats_;
};

Oid type_of(const Value& v) {
  switch (v.kind()) {
    case Kind::integer: return kInt8;
    case Kind::real: return kFloat8;
    case Kind::text: return kText;
    case Kind::bytes: return kBytea;
    case Kind::null: break;
  }
  return 0;  // whatever the place wants
}

Oid array_of(Oid element) {
  switch (element) {
    case kInt8: return kInt8Array;
    case kFloat8: return kFloat8Array;
    case kText: return kTextArray;
    case kBytea: return kByteaArray;
    default: return 0;
  }
}

// The type of a column's values; 0 when all of them are NULL.
Oid type_of_column(const Batch& batch, std::size_t column) {
  Oid type = 0;
  for (std::size_t i = 0; i < batch.size() && !type; ++i) type = type_of(batch.row(i)[column]);
  return type;
}

template <class T>
void put(std::string& out, T v) {
  v = big_endian(v);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

// A column of some rows as an array of one dimension, which begins at 1.
std::string array_column(const Batch& batch, std::size_t column, std::size_t from, std::size_t to, Oid element) {
  std::string out;
  std::size_t bytes = 20;
  for (std::size_t i = from; i < to; ++i) bytes += 12 + batch.row(i)[column].text().size();
  out.reserve(bytes);
  const std::uint32_t head[] = {1, 1 /* may hold NULL */, element, static_cast<std::uint32_t>(to - from), 1};
  for (const std::uint32_t word : head) put(out, word);
  for (std::size_t i = from; i < to; ++i) {
    const Value& v = batch.row(i)[column];
    switch (v.kind()) {
      case Kind::null: put(out, ~std::uint32_t{0}); break;
      case Kind::integer: put(out, std::uint32_t{8}), put(out, static_cast<std::uint64_t>(v.integer())); break;
      case Kind::real: put(out, std::uint32_t{8}), put(out, std::bit_cast<std::uint64_t>(v.real())); break;
      case Kind::text:
      case Kind::bytes:
        put(out, static_cast<std::uint32_t>(v.text().size()));
        out += v.text();
    }
  }
  return out;
}

std::int64_t changed_by(const PGresult* r) { return std::atoll(PQcmdTuples(const_cast<PGresult*>(r))); }

Result<void> add_rows(Rows& rows, const PGresult* r);

Result<Rows> rows_of(const PGresult* r) {
  Rows rows;
  const int columns = PQnfields(r), count = PQntuples(r);
  rows.start(static_cast<std::size_t>(columns));
  if (static_cast<std::size_t>(columns) * static_cast<std::size_t>(count) > kMaxCells)
    return std::unexpected(make_error(Fault::broken, "a result is too large: the query needs pages"));
  const char* affected = PQcmdTuples(const_cast<PGresult*>(r));
  if (PQresultStatus(r) == PGRES_COMMAND_OK || columns == 0 || !std::string_view(PQcmdStatus(const_cast<PGresult*>(r))).starts_with("SELECT"))
    rows.set_affected(*affected ? std::atoll(affected) : 0);
  if (auto added = add_rows(rows, r); !added) return std::unexpected(std::move(added.error()));
  return rows;
}

Result<void> add_rows(Rows& rows, const PGresult* r) {
  const int columns = PQnfields(r), count = PQntuples(r);
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < columns; ++c) {
      if (PQgetisnull(r, i, c)) {
        rows.add_null();
        continue;
      }
      const char* p = PQgetvalue(r, i, c);
      const auto size = static_cast<std::size_t>(PQgetlength(r, i, c));
      switch (PQftype(r, c)) {
        case kBool: rows.add_integer(*p != 0); break;
        case kInt2: rows.add_integer(static_cast<std::int16_t>(load<std::uint16_t>(p))); break;
        case kInt4: rows.add_integer(static_cast<std::int32_t>(load<std::uint32_t>(p))); break;
        case kInt8: rows.add_integer(static_cast<std::int64_t>(load<std::uint64_t>(p))); break;
        case kFloat4: rows.add_real(std::bit_cast<float>(load<std::uint32_t>(p))); break;
        case kFloat8: rows.add_real(std::bit_cast<double>(load<std::uint64_t>(p))); break;
        case kBytea: rows.add_text({p, size}, Kind::bytes); break;
        case kText:
        case 1043:  // varchar
        case 19:    // name
        case 705: rows.add_text({p, size}, Kind::text); break;
        case kVoid: rows.add_null(); break;
        default:
          return std::unexpected(make_error(Fault::broken, std::string("PostgreSQL: column ") + PQfname(r, c) + " has type " +
                                            std::to_string(PQftype(r, c)) + "; cast it to BIGINT, DOUBLE PRECISION, TEXT or BYTEA"));
      }
    }
  }
  return {};
}

// libpq takes less than two for two.
std::string whole_seconds(std::chrono::milliseconds timeout) { return std::to_string(std::max<std::int64_t>(2, timeout.count() / 1000)); }

}  // namespace

Result<std::unique_ptr<PostgresConnection>> PostgresConnection::open(const std::string& url, std::chrono::milliseconds timeout, Silence* silence,
                                                                             std::chrono::seconds patience) {
  const std::string seconds = whole_seconds(timeout);
  const char* keys[] = {"dbname", "connect_timeout", "application_name", "keepalives_idle", "tcp_user_timeout", "client_encoding", nullptr};
  const char* values[] = {url.c_str(), seconds.c_str(), "ballast", "10", "15000", "UTF8", nullptr};
  PGconn* c = PQconnectdbParams(keys, values, 1);
  std::unique_ptr<PostgresConnection> self(new PostgresConnection(c));
  if (PQstatus(c) != CONNECTION_OK) {
    std::string why = c ? PQerrorMessage(c) : "out of memory";
    while (!why.empty() && why.back() == '\n') why.pop_back();
    return std::unexpected(make_error(Fault::unavailable, "PostgreSQL cannot be reached: " + why));
  }
  PQsetNoticeProcessor(c, [](void*, const char*) {}, nullptr);
  std::optional<Silence::Waiting> waiting;
  if (silence) waiting.emplace(*silence, PQsocket(c));
  auto ready = self->simple("SET default_transaction_isolation = 'read committed'; SET idle_in_transaction_session_timeout = " + std::to_string(std::chrono::milliseconds(patience).count()));
  if (!ready) return std::unexpected(ready.error());
  auto life = self->simple("SELECT coalesce(pg_stat_get_bgwriter_stat_reset_time()::text, '')");   // recovery resets the statistics
  if (!life) return std::unexpected(life.error());
  self->life_ = std::move(*life);
  return self;
}

bool PostgresConnection::answers(const std::string& url, std::chrono::milliseconds timeout) {
  const std::string seconds = whole_seconds(timeout);
  const char* keys[] = {"dbname", "connect_timeout", nullptr};
  const char* values[] = {url.c_str(), seconds.c_str(), nullptr};
  const PGPing said = PQpingParams(keys, values, 1);
  return said == PQPING_OK || said == PQPING_REJECT;
}

PostgresConnection::~PostgresConnection() { PQfinish(connection_); }

void PostgresConnection::Freed::operator()(PGresult* r) const { PQclear(r); }

Result<std::int64_t> PostgresConnection::copy_out(const std::string& sql, const std::function<Result<void>(std::string_view)>& sink) {
  ResultPtr begun(PQexec(connection_, sql.c_str()));
  if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) return std::unexpected(error_of(begun.get(), sql));
  char* piece = nullptr;
  Result<void> kept;
  for (int n = PQgetCopyData(connection_, &piece, 0); n > 0; n = PQgetCopyData(connection_, &piece, 0)) {
    if (kept) kept = sink({piece, static_cast<std::size_t>(n)});
    PQfreemem(piece);
  }
  return end_copy(std::move(kept), sql);
}

Result<std::int64_t> PostgresConnection::copy_in(const std::string& sql, const std::function<Result<std::string_view>()>& source) {
  ResultPtr begun(PQexec(connection_, sql.c_str()));
  if (PQresultStatus(begun.get()) != PGRES_COPY_IN) return std::unexpected(error_of(begun.get(), sql));
  Result<std::string_view> piece = source();
  while (piece && !piece->empty() && PQputCopyData(connection_, piece->data(), static_cast<int>(piece->size())) == 1) piece = source();
  PQputCopyEnd(connection_, piece && piece->empty() ? nullptr : "the file ended early");
  return end_copy(piece ? Result<void>{} : std::unexpected(piece.error()), sql);
}

Result<std::int64_t> PostgresConnection::end_copy(Result<void> so_far, const std::string& sql) {
  std::int64_t rows = -1;
  Result<void> said;
  while (ResultPtr r{PQgetResult(connection_)}) {
    if (PQresultStatus(r.get()) == PGRES_COMMAND_OK) rows = std::atoll(PQcmdTuples(r.get()));
    else if (said) said = std::unexpected(error_of(r.get(), sql));
  }
  if (!so_far) return std::unexpected(so_far.error());
  if (!said) return std::unexpected(said.error());
  return rows;
}

Result<std::vector<std::string>> PostgresConnection::words(int wake, std::chrono::milliseconds patience) {
  std::vector<std::string> out;
  const auto gather = [&] {
    while (PGnotify* word = PQnotifies(connection_)) {
      if (word->be_pid != PQbackendPID(connection_)) out.emplace_back(word->extra);
      PQfreemem(word);
    }
  };
  gather();                                    // what came with the answers before
  if (!out.empty()) return out;
  pollfd ready[] = {{PQsocket(connection_), POLLIN, 0}, {wake, POLLIN, 0}};
  if (::poll(ready, 2, static_cast<int>(patience.count())) <= 0 || ready[0].revents == 0) return out;
  if (PQconsumeInput(connection_) == 0) return std::unexpected(error_of(nullptr, "LISTEN"));
  gather();
  return out;
}

int PostgresConnection::socket() const { return PQsocket(connection_); }

bool PostgresConnection::alive() const { return !lost_ && PQstatus(connection_) == CONNECTION_OK; }

Error PostgresConnection::error_of(const PGresult* result, std::string_view sql) {
  const char* state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const char* primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
  std::string message = primary ? primary : PQerrorMessage(connection_);
  while (!message.empty() && message.back() == '\n') message.pop_back();
  sqlstate_ = state ? state : "";
  // An error without a state is libpq's own: the connection is gone, though PQstatus may say so only at the next call.
  // 25P03: the server has ended it, because the transaction's next statement did not come.
  lost_ = lost_ || sqlstate_.empty() || sqlstate_.starts_with("08") || sqlstate_.starts_with("57P") || sqlstate_ == "25P03";
  const Fault fault = alive() ? fault_for(sqlstate_) : Fault::unavailable;
  std::string text = "PostgreSQL: " + message;
  if (fault == Fault::broken) text.append(" (").append(sqlstate_).append(") in: ").append(sql.substr(0, 200));
  Error error = make_error(fault, std::move(text));
  if (sqlstate_ != "22021") return error;
  // Nothing is wrong with the machine: a text that is asked for or to be kept has a zero byte, or is no UTF-8.
  error.code = ErrorCode::caller_invalid_request;
  error.message = "a text has a zero byte or is not UTF-8: PostgreSQL keeps none such";
  return error;
}

Result<std::string> PostgresConnection::prepare(std::string_view sql, std::span<const unsigned> types) {
  if (auto found = prepared_.find(sql); found != prepared_.end()) return found->second;
  if (auto settled = settle(); !settled) return std::unexpected(std::move(settled.error()));
  if (prepared_.size() >= kMaxPrepared) {
    auto freed = simple("DEALLOCATE ALL");
    if (!freed) return std::unexpected(freed.error());
    prepared_.clear();
  }
  const std::string name = "s" + std::to_string(prepared_.size());
  ResultPtr r(PQprepare(connection_, name.c_str(), std::string(sql).c_str(), static_cast<int>(types.size()), types.data()));
  if (PQresultStatus(r.get()) != PGRES_COMMAND_OK) return std::unexpected(error_of(r.get(), sql));
  return prepared_.emplace(std::string(sql), name).first->second;
}

Result<std::string> PostgresConnection::prepare(std::string_view sql, std::span<const Value> values) {
  std::vector<Oid> types(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) types[i] = type_of(values[i]);
  return prepare(sql, types);
}

bool PostgresConnection::send_row(const std::string& name, std::span<const Value> row) {
  const Wire wire(row);
  return PQsendQueryPrepared(connection_, name.c_str(), wire.count(), wire.pointers(), wire.lengths(), wire.formats(), 1) == 1;
}

// A column without values goes as NULL, whose type is its place's: unnest then fills it with NULLs.
bool PostgresConnection::send_arrays(const std::string& name, const Batch& batch, std::size_t from, std::size_t to, std::span<const unsigned> types) {
  std::vector<std::string> arrays;
  std::vector<Value> row;
  for (std::size_t c = 0; c < batch.width(); ++c) arrays.push_back(types[c] ? array_column(batch, c, from, to, types[c]) : std::string());
  for (std::size_t c = 0; c < batch.width(); ++c) row.push_back(types[c] ? Value::bytes(arrays[c]) : Value(nullptr));
  return send_row(name, row);
}

Result<void> PostgresConnection::send(const char* sql, Sent::Role role) {
  auto name = prepare(sql, std::span<const Value>{});
  if (!name) return std::unexpected(std::move(name.error()));
  if (!PQenterPipelineMode(connection_) || !send_row(*name, {})) return std::unexpected(error_of(nullptr, sql));
  sent_.push_back({.sql = sql, .role = role});
  return {};
}

// Neither side may come to wait for the other to read: what is not read yet is bounded.
Result<void> PostgresConnection::make_room(std::size_t statements) {
  for (const Sent& s : sent_) statements += s.count;
  return statements > 2 * kPipelined ? settle() : Result<void>{};
}

Result<void> PostgresConnection::begin(bool along) {
  along_ = along;
  // A server that left while nothing was asked of it must be noticed before COMMIT may be on its way: it says why, then closes.
  for (int look = 0; along && look < 2; ++look)
    if (!PQconsumeInput(connection_)) return std::unexpected(error_of(nullptr, "BEGIN"));
  if (auto begun = send("BEGIN", Sent::Role::change); !begun || along) return begun;
  return send("SELECT pg_current_xact_id()::text || ' ' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)", Sent::Role::key);
}

Result<std::string> PostgresConnection::commit() {
  if (!along_ || sent_.empty()) return simple("COMMIT");
  committed_.clear();
  if (auto sent = send("COMMIT", Sent::Role::commit); !sent) return std::unexpected(std::move(sent.error()));
  if (auto done = settle(); !done) return std::unexpected(std::move(done.error()));
  return committed_;
}

void PostgresConnection::roll_back() {
  (void)settle();
  if (alive()) (void)simple("ROLLBACK");
}

Result<std::vector<PostgresConnection::ResultPtr>> PostgresConnection::collect(std::string_view sql) {
  const std::vector<Sent> sent = std::exchange(sent_, {});
  if (!PQpipelineSync(connection_)) return std::unexpected(error_of(nullptr, sql));
  std::vector<ResultPtr> results;
  std::optional<Error> failed;
  const auto present = [&] {
    std::size_t at = results.size();
    for (const Sent& s : sent) {
      if (at < s.count) return std::string_view(s.sql);
      at -= s.count;
    }
    return sql;
  };
  for (bool synced = false; !synced;) {
    ResultPtr r(PQgetResult(connection_));
    if (!r) {
      if (!alive()) return std::unexpected(failed ? std::move(*failed) : error_of(nullptr, sql));
      continue;  // between two statements
    }
    switch (PQresultStatus(r.get())) {
      case PGRES_PIPELINE_SYNC: synced = true; break;
      case PGRES_COMMAND_OK:
      case PGRES_TUPLES_OK: results.push_back(std::move(r)); break;
      case PGRES_PIPELINE_ABORTED: break;
      default:
        if (!failed) failed = error_of(r.get(), present());   // which also sees whether the connection is lost
    }
  }
  PQexitPipelineMode(connection_);
  std::size_t at = 0;
  for (const Sent& s : sent)
    for (std::size_t i = 0; i < s.count && at < results.size(); ++i, ++at) {
      if (s.role == Sent::Role::key) transaction_key_ = PQgetvalue(results[at].get(), 0, 0);
      if (s.role == Sent::Role::commit) committed_ = PQcmdStatus(results[at].get());
      if (s.otherwise && changed_by(results[at].get()) != 1) return std::unexpected(s.otherwise(s.first + i));
    }
  if (failed) return std::unexpected(std::move(*failed));
  results.erase(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(at));
  return results;
}

Result<void> PostgresConnection::settle() {
  if (sent_.empty()) return {};
  auto done = collect({});
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<Rows> PostgresConnection::run(std::string_view sql, Args args) {
  const std::span<const Value> values(args.begin(), args.size());
  auto name = prepare(sql, values);
  if (!name) return std::unexpected(std::move(name.error()));
  if (!sent_.empty()) {
    if (!send_row(*name, values)) return std::unexpected(error_of(nullptr, sql));
    auto results = collect(sql);
    if (!results) return std::unexpected(std::move(results.error()));
    return rows_of(results->back().get());
  }
  if (max_result_bytes_) return run_bounded(*name, sql, values);
  const Wire wire(values);
  ResultPtr r(PQexecPrepared(connection_, name->c_str(), wire.count(), wire.pointers(), wire.lengths(), wire.formats(), 1));
  const auto status = PQresultStatus(r.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) return std::unexpected(error_of(r.get(), sql));
  return rows_of(r.get());
}

// Row by row, so that no more than the limit is ever held here; the rest is cancelled.
Result<Rows> PostgresConnection::run_bounded(const std::string& name, std::string_view sql, std::span<const Value> values) {
  if (!send_row(name, values) || !PQsetSingleRowMode(connection_)) return std::unexpected(error_of(nullptr, sql));
  Rows rows;
  std::optional<Error> failed;
  bool begun = false;
  for (ResultPtr r(PQgetResult(connection_)); r; r.reset(PQgetResult(connection_))) {
    const auto status = PQresultStatus(r.get());
    if (failed) continue;
    if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK) {
      failed = error_of(r.get(), sql);
      continue;
    }
    if (!std::exchange(begun, true)) rows.start(static_cast<std::size_t>(PQnfields(r.get())));
    if (auto added = add_rows(rows, r.get()); !added) failed = std::move(added.error());
    else if (rows.arena_bytes() + rows.cell_count() * sizeof(std::int64_t) > max_result_bytes_) failed = too_large_result(max_result_bytes_);
    if (!failed) continue;
    char why[256];
    PGcancel* cancel = PQgetCancel(connection_);
    PQcancel(cancel, why, sizeof why);
    PQfreeCancel(cancel);
  }
  if (failed) return std::unexpected(std::move(*failed));
  return rows;
}

Result<std::vector<std::int64_t>> PostgresConnection::run_piece(std::string_view sql, const std::string& name, const Batch& batch, std::size_t from, std::size_t to) {
  bool sent = PQenterPipelineMode(connection_);
  for (std::size_t i = from; i < to && sent; ++i) sent = send_row(name, batch.row(i));
  if (!sent) return std::unexpected(error_of(nullptr, sql));
  auto results = collect(sql);
  if (!results) return std::unexpected(std::move(results.error()));
  std::vector<std::int64_t> affected;
  for (const ResultPtr& r : *results) affected.push_back(changed_by(r.get()));
  return affected;
}

Result<std::vector<std::int64_t>> PostgresConnection::run_many(std::string_view sql, const Batch& batch) {
  std::vector<std::int64_t> affected;
  if (batch.size() == 0) return affected;
  auto name = prepare(sql, batch.row(0));
  if (!name) return std::unexpected(std::move(name.error()));
  for (std::size_t at = 0; at < batch.size(); at += kPipelined) {
    auto piece = run_piece(sql, *name, batch, at, std::min(batch.size(), at + kPipelined));
    if (!piece) return piece;
    affected.insert(affected.end(), piece->begin(), piece->end());
  }
  return affected;
}

Result<void> PostgresConnection::run_later(std::string_view sql, const Batch& batch, Otherwise otherwise) {
  if (batch.size() == 0) return {};
  along_ = along_ && (!otherwise || batch.size() <= kGuarded);
  std::string guarded;      // not one row changed: division by zero, and what follows, COMMIT too, is not done
  if (along_ && otherwise) sql = guarded = "WITH changed AS (" + std::string(sql) + " RETURNING 1) SELECT 1 / (count(*) = 1)::int FROM changed";
  auto name = prepare(sql, batch.row(0));
  if (!name) return std::unexpected(std::move(name.error()));
  for (std::size_t at = 0, to = 0; at < batch.size(); at = to) {
    to = std::min(batch.size(), at + kPipelined);
    if (auto room = make_room(to - at); !room) return room;
    bool sent = PQenterPipelineMode(connection_);
    for (std::size_t i = at; i < to && sent; ++i) sent = send_row(*name, batch.row(i));
    if (!sent) return std::unexpected(error_of(nullptr, sql));
    sent_.push_back({.sql = std::string(sql), .count = to - at, .first = at, .otherwise = along_ ? Otherwise{} : otherwise});
  }
  return {};
}

Result<void> PostgresConnection::run_set(std::string_view sql, const Batch& batch) {
  if (batch.size() == 0) return {};
  std::vector<Oid> types(batch.width()), arrays(batch.width());
  for (std::size_t c = 0; c < batch.width(); ++c) arrays[c] = array_of(types[c] = type_of_column(batch, c));
  auto name = prepare(sql, arrays);
  if (!name) return std::unexpected(std::move(name.error()));
  for (std::size_t at = 0, to = 0; at < batch.size(); at = to) {
    std::size_t bytes = 0;
    for (; to < batch.size() && to - at < kSetRows && (to == at || bytes < kSetBytes); ++to)
      for (const Value& v : batch.row(to)) bytes += v.text().size();
    if (auto room = make_room(1); !room) return room;
    if (!PQenterPipelineMode(connection_) || !send_arrays(*name, batch, at, to, types)) return std::unexpected(error_of(nullptr, sql));
    sent_.push_back({.sql = std::string(sql)});
  }
  return {};
}

Result<std::string> PostgresConnection::simple(const std::string& sql) {
  ResultPtr r(PQexec(connection_, sql.c_str()));
  const auto status = PQresultStatus(r.get());
  if (status == PGRES_TUPLES_OK) return std::string(PQntuples(r.get()) ? PQgetvalue(r.get(), PQntuples(r.get()) - 1, PQnfields(r.get()) - 1) : "");
  if (status == PGRES_COMMAND_OK) return std::string(PQcmdStatus(r.get()));
  return std::unexpected(error_of(r.get(), sql));
}

Result<Rows> PostgresTx::run(const Statement& statement, Args args) {
  if (spoiled_) return std::unexpected(*spoiled_);
  return keep(connection_.run(statement.postgres, args));
}

Result<std::vector<std::int64_t>> PostgresTx::run_many(const Statement& statement, const Batch& batch) {
  if (spoiled_) return std::unexpected(*spoiled_);
  return keep(connection_.run_many(statement.postgres, batch));
}

Result<void> PostgresTx::run_later(const Statement& statement, const Batch& batch, Otherwise otherwise) {
  if (spoiled_) return std::unexpected(*spoiled_);
  return keep(connection_.run_later(statement.postgres, batch, std::move(otherwise)));
}

Result<void> PostgresTx::run_set(const Statement& statement, const Batch& batch) {
  if (spoiled_) return std::unexpected(*spoiled_);
  return keep(connection_.run_set(statement.postgres, batch));
}

Result<void> PostgresTx::settle() {
  if (spoiled_) return std::unexpected(*spoiled_);
  return connection_.is_along() ? Result<void>{} : keep(connection_.settle());
}

WallTime PostgresTx::now() {
  if (!now_) {
    auto rows = run("SELECT CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS BIGINT)", {});
    now_ = rows && !rows->empty() ? WallTime(std::chrono::microseconds((*rows)[0].integer(0))) : WallTime{};
  }
  return *now_;
}

}  // namespace ballast::store
