#include "work/run_rows.hpp"

#include "records/blobs.hpp"
#include "work/lives_sql.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kInline = 1'024;                   // bytes of a value kept in its row

std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }
Digest digest_of(std::string_view bytes) {
  Digest d{};
  if (bytes.size() == d.size()) std::copy_n(bytes.begin(), d.size(), reinterpret_cast<char*>(d.data()));
  return d;
}

std::string error_text(const std::optional<Error>& error) {
  if (!error) return {};
  json::object o{{"code", to_string(error->code)}, {"message", error->message}, {"retryable", error->retryable}};
  if (!error->field.empty()) o["field"] = error->field;
  if (error->retry_after) o["retry_after_ms"] = error->retry_after->count();
  return to_json(o);
}

std::optional<Error> error_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto document = parse_json(text);
  if (!document || !document->is_object()) return Error{ErrorCode::internal_error, std::string(text)};
  const JsonRef at(*document);
  Error e;
  e.code = error_code_from(at.get<std::string_view>("code").value_or("")).value_or(ErrorCode::internal_error);
  e.message = at.get<std::string>("message").value_or("");
  e.field = at.get<std::string>("field").value_or("");
  e.retryable = at.get<bool>("retryable").value_or(false);
  if (const auto after = at.get<std::int64_t>("retry_after_ms")) e.retry_after = std::chrono::milliseconds(*after);
  return e;
}

struct Row {
  StageRecord record;
  Digest blob{};
};

Result<Row> row_of(const store::Row& r) {
  Row row;
  StageRecord& s = row.record;
  s.path = r.string(0);
  s.input = digest_of(r.bytes(1));
  s.what = static_cast<StageRecord::What>(r.integer(2));
  s.attempt = static_cast<std::uint32_t>(r.integer(3));
  s.at = from_unix_us(r.integer(4));
  s.output = digest_of(r.bytes(7));
  if (!r.null(8)) s.confidence = r.real(8);
  s.fallback = r.boolean(9);
  s.cost = Money{r.integer(11)};
  s.error = error_of(r.text(12));
  if (!r.text(10).empty()) {
    const auto taint = parse_json(r.text(10));
    auto read = taint ? Taint::from_json(*taint) : Result<Taint>(fail(taint.error()));
    if (!read) return fail(std::move(read.error()));
    s.taint = std::move(*read);
  }
  if (!r.null(5)) {
    auto value = parse_json(r.text(5));
    if (!value) return fail(ErrorCode::internal_error, "a recorded value cannot be read: " + value.error().message);
    s.value = std::make_shared<const json::value>(std::move(*value));
  }
  if (!r.null(6)) row.blob = digest_of(r.bytes(6));
  return row;
}

Result<void> fill_values(store::Tx& tx, JobId run, std::vector<Row>& rows) {
  std::map<Digest, std::shared_ptr<const json::value>> values;
  for (Row& row : rows) {
    if (row.blob == Digest{}) continue;
    auto& value = values[row.blob];
    if (!value) {
      auto raw = records::get_blob(tx, run.value, row.blob);
      if (!raw) return fail(std::move(raw.error()));
      auto read = parse_json(*raw, {.max_bytes = records::kMaxBlob, .max_depth = 512});
      if (!read) return fail(ErrorCode::internal_error, "a recorded value cannot be read: " + read.error().message);
      value = std::make_shared<const json::value>(std::move(*read));
    }
    row.record.value = value;
  }
  return {};
}

}  // namespace

Result<PackedRecord> pack_record(const StageRecord& record) {
  PackedRecord out{.record = record, .inline_value = {}, .blob = {}, .packed = {}};
  out.record.value = nullptr;
  if (!record.value) return out;
  std::string text = to_json(*record.value);
  if (text.size() <= kInline) {
    out.inline_value = std::move(text);
    return out;
  }
  auto packed = records::pack_blob(text);
  if (!packed) return fail(packed.error().code, packed.error().message, "stages." + record.path);
  out.blob = sha256(text);
  out.packed = std::move(*packed);
  return out;
}

Result<void> insert_records(store::Tx& tx, JobId run, std::span<const PackedRecord> records, Fence fence) {
  if (records.empty()) return {};
  std::vector<records::Blob> blobs;
  std::vector<std::string> taints, errors;
  taints.reserve(records.size());
  errors.reserve(records.size());
  store::Batch batch(15);
  for (const PackedRecord& p : records) {
    const StageRecord& r = p.record;
    if (!p.packed.empty()) blobs.push_back({p.blob, p.packed});
    taints.push_back(r.taint.clean() ? std::string() : to_json(r.taint.to_json()));
    errors.push_back(error_text(r.error));
    batch.add({run.value, r.path, store::Value::bytes(view(r.input)), static_cast<int>(r.what), r.attempt, unix_us(r.at),
               p.inline_value.empty() ? store::Value(nullptr) : store::Value::bytes(p.inline_value), p.packed.empty() ? store::Value(nullptr) : store::Value::bytes(view(p.blob)),
               store::Value::bytes(view(r.output)), r.confidence ? store::Value(*r.confidence) : store::Value(nullptr), r.fallback, taints.back(), r.cost.nano, errors.back(), fence});
  }
  if (auto put = records::put_blobs(tx, run.value, blobs); !put) return put;
  auto added = tx.run_many("INSERT INTO run_steps (job, path, input, what, attempt, at_us, value, blob, output, confidence, fallback, taint, cost_nano, error, fence) "
                           "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (job, path, input, what, attempt) DO NOTHING",
                           batch);
  if (!added) return std::unexpected(added.error());
  return {};
}

Result<bool> progressed(store::Tx& tx, JobId run, Fence fence) {
  auto rows = tx.run("SELECT 1 FROM run_steps WHERE job = $1 AND fence = $2 AND what <> $3 LIMIT 1", {run.value, fence, static_cast<int>(StageRecord::What::failed)});
  if (!rows) return std::unexpected(rows.error());
  return !rows->empty();
}

Result<std::vector<StageRecord>> load_records(store::Tx& tx, JobId run) {
  auto rows = tx.run("SELECT path, input, what, attempt, at_us, value, blob, output, confidence, fallback, taint, cost_nano, error FROM run_steps "
                     "WHERE job = $1 ORDER BY at_us, path, attempt, what",
                     {run.value});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Row> read;
  read.reserve(rows->size());
  for (const store::Row r : *rows) {
    auto row = row_of(r);
    if (!row) return fail(std::move(row.error()));
    read.push_back(std::move(*row));
  }
  if (auto filled = fill_values(tx, run, read); !filled) return fail(std::move(filled.error()));
  std::vector<StageRecord> out;
  out.reserve(read.size());
  for (Row& row : read) out.push_back(std::move(row.record));
  return out;
}

JobId child_in(const StageRecord& record) {
  const auto* o = record.value ? record.value->if_object() : nullptr;
  const auto* id = o ? o->if_contains("child") : nullptr;
  return id && id->is_string() ? parse_job_id(id->get_string()).value_or(JobId{}) : JobId{};
}

Result<std::vector<JobId>> children_of(store::Tx& tx, JobId run) {
  auto rows = tx.run("SELECT value FROM run_steps WHERE job = $1 AND what = $2 AND value IS NOT NULL", {run.value, static_cast<int>(StageRecord::What::started)});
  if (!rows) return std::unexpected(rows.error());
  std::vector<JobId> out;
  for (const store::Row r : *rows) {
    auto value = parse_json(r.text(0));
    if (!value) continue;
    StageRecord started;
    started.value = std::make_shared<const json::value>(std::move(*value));
    if (const JobId child = child_in(started)) out.push_back(child);
  }
  return out;
}

Result<void> delete_records(store::Tx& tx, std::span<const JobId> runs) {
  store::Batch batch(1);
  for (const JobId run : runs) batch.add({run.value});
  if (batch.size() == 0) return {};
  for (const char* sql : {"DELETE FROM run_steps WHERE job = $1", "DELETE FROM run_blobs WHERE job = $1"}) {
    auto gone = tx.run_many(sql, batch);
    if (!gone) return std::unexpected(gone.error());
  }
  return {};
}

Result<Fence> recorded_fence(store::Tx& tx, JobId run) {
  auto rows = tx.run("SELECT fence FROM jobs WHERE id = $1", {run.value});
  if (!rows) return std::unexpected(rows.error());
  return rows->empty() ? Fence{} : (*rows)[0].integer(0);
}

Result<void> put_spec(store::Tx& tx, JobId run, const JobSpec& spec, Fence recorded) {
  const std::string packed = pack_spec(spec);
  auto put = tx.run("UPDATE jobs SET spec = $1 WHERE id = $2 AND " BALLAST_JOB_LIVES " AND fence = $3", {packed, run.value, recorded});
  if (!put) return std::unexpected(put.error());
  if (put->affected() == 1) return {};
  return fail(ErrorCode::caller_conflict, "the run went on, or ended, at this very moment; look at it and ask again", "id");
}

Result<void> put_flow(store::Tx& tx, const Flow& flow, WallTime now) {
  const std::string source = pack_source(flow.source());
  auto put = tx.run("INSERT INTO flow_versions (digest, name, version, source, at_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO NOTHING",
                    {store::Value::bytes(view(flow.digest())), flow.name(), flow.version_name(), store::Value::bytes(source), unix_us(now)});
  if (!put) return std::unexpected(put.error());
  return {};
}

Result<std::optional<FlowSource>> find_flow(store::Tx& tx, const Digest& digest) {
  auto rows = tx.run("SELECT source FROM flow_versions WHERE digest = $1", {store::Value::bytes(view(digest))});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<FlowSource>{};
  auto source = unpack_source((*rows)[0].bytes(0));
  if (!source) return fail(std::move(source.error()));
  return std::optional<FlowSource>(std::move(*source));
}

Result<std::vector<Digest>> flows_called(store::Tx& tx, std::string_view name, std::string_view version) {
  auto rows = tx.run("SELECT digest FROM flow_versions WHERE name = $1 AND version = $2", {name, version});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Digest> out;
  for (const store::Row r : *rows) out.push_back(digest_of(r.bytes(0)));
  return out;
}

}  // namespace ballast::work
