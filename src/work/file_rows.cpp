#include "work/file_rows.hpp"

#include "base/compress.hpp"

namespace ballast::work {

namespace {

constexpr std::string_view kPrefix = "file-";

Result<void> done(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  return {};
}

FileRow file_of(const store::Row& r) {
  FileRow f{.id = JobId{r.integer(0)}, .owner = r.string(1), .name = r.string(2), .purpose = r.string(3), .bytes = static_cast<std::uint64_t>(r.integer(4)),
            .created = from_unix_us(r.integer(5)), .expires = {}};
  if (r.integer(6) != 0) f.expires = from_unix_us(r.integer(6));
  return f;
}

std::int64_t expiry_of(const FileRow& row) { return row.expires ? unix_us(*row.expires) : 0; }

}  // namespace

std::string file_id(JobId id) { return std::string(kPrefix) + to_string(id).substr(4); }

std::optional<JobId> parse_file_id(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  return parse_job_id("job_" + std::string(text.substr(kPrefix.size())));
}

Result<void> begin_file(store::Tx& tx, const FileRow& row) {
  return done(tx.run("INSERT INTO files (id, whole, owner, name, purpose, bytes, created_us, expires_us) VALUES ($1, 0, $2, $3, $4, 0, $5, $6)",
                     {row.id.value, row.owner, row.name, row.purpose, unix_us(row.created), expiry_of(row)}));
}

Result<void> put_pieces(store::Tx& tx, JobId file, std::size_t n, std::span<const std::string> packed) {
  if (packed.empty()) return {};
  store::Batch batch(3);
  for (const std::string& piece : packed) batch.add({file.value, n++, store::Value::bytes(piece)});
  auto put = tx.run_many("INSERT INTO file_pieces (file, n, packed) VALUES ($1, $2, $3)", batch);
  if (!put) return std::unexpected(put.error());
  return {};
}

Result<void> finish_file(store::Tx& tx, JobId file, std::uint64_t bytes) {
  return done(tx.run("UPDATE files SET whole = 1, bytes = $2 WHERE id = $1", {file.value, bytes}));
}

Result<bool> delete_file(store::Tx& tx, JobId file) {
  if (auto gone = tx.run("DELETE FROM file_pieces WHERE file = $1", {file.value}); !gone) return std::unexpected(gone.error());
  auto gone = tx.run("DELETE FROM files WHERE id = $1", {file.value});
  if (!gone) return std::unexpected(gone.error());
  return gone->affected() > 0;
}

Result<std::optional<FileRow>> get_file(store::Tx& tx, JobId file) {
  auto rows = tx.run("SELECT id, owner, name, purpose, bytes, created_us, expires_us FROM files WHERE id = $1 AND whole = 1", {file.value});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<FileRow>{};
  return std::optional(file_of((*rows)[0]));
}

Result<std::vector<FileRow>> list_files(store::Tx& tx, const FileFilter& f) {
#define BALLAST_FILES "SELECT id, owner, name, purpose, bytes, created_us, expires_us FROM files WHERE owner = $1 AND whole = 1 AND ($2 = '' OR purpose = $2) "
  const std::int64_t after = f.after ? f.after.value : f.ascending ? 0 : INT64_MAX;
  auto rows = f.ascending ? tx.run(BALLAST_FILES "AND id > $3 ORDER BY id LIMIT $4", {f.owner, f.purpose, after, f.limit})
                          : tx.run(BALLAST_FILES "AND id < $3 ORDER BY id DESC LIMIT $4", {f.owner, f.purpose, after, f.limit});
#undef BALLAST_FILES
  if (!rows) return std::unexpected(rows.error());
  std::vector<FileRow> out;
  for (const store::Row r : *rows) out.push_back(file_of(r));
  return out;
}

Result<std::string> read_pieces(store::Tx& tx, JobId file, std::size_t n, std::size_t most) {
  auto rows = tx.run("SELECT packed FROM file_pieces WHERE file = $1 AND n >= $2 AND n < $3 ORDER BY n", {file.value, n, n + most});
  if (!rows) return std::unexpected(rows.error());
  std::string out;
  for (const store::Row r : *rows) {
    const auto piece = unpack(r.bytes(0), kFilePiece);
    if (!piece) return fail(ErrorCode::internal_error, "a stored piece of the file is damaged");
    out += *piece;
  }
  return out;
}

Result<std::uint64_t> sweep_files(store::Tx& tx, WallTime now, WallTime begun_before, std::size_t limit) {
  auto rows = tx.run("SELECT id FROM files WHERE (expires_us > 0 AND expires_us <= $1) OR (whole = 0 AND created_us < $2) LIMIT $3",
                     {unix_us(now), unix_us(begun_before), limit});
  if (!rows) return std::unexpected(rows.error());
  for (const store::Row r : *rows)
    if (auto gone = delete_file(tx, JobId{r.integer(0)}); !gone) return std::unexpected(gone.error());
  return rows->size();
}

}  // namespace ballast::work
