// Files, in OpenAI's shape: uploaded for batches, and made by them. A key sees its own, whatever its scopes.
#include "base/compress.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "llm/form.hpp"
#include "net/url.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "work/file_rows.hpp"

namespace ballast::server {

namespace {

using work::FileRow;
using work::JobId;

constexpr std::size_t kMostName = 512;       // bytes of a file's name
constexpr std::size_t kPiecesAtOnce = 8;     // of a file, to and from the database
constexpr std::int64_t kShortestLife = 3'600, kLongestLife = 2'592'000;      // seconds
constexpr std::size_t kMostListed = 10'000;

Error no_such_file(std::string_view id) { return {ErrorCode::caller_not_found, fmt::format("No such File object: {}", utf8_prefix(id, 100)), "id"}; }

json::object file_json(const FileRow& f) {
  json::object o{{"id", work::file_id(f.id)}, {"object", "file"}, {"bytes", f.bytes}, {"created_at", unix_ms(f.created) / 1000}, {"filename", f.name},
                 {"purpose", f.purpose}, {"status", "processed"}, {"status_details", nullptr}};
  o["expires_at"] = f.expires ? json::value(unix_ms(*f.expires) / 1000) : json::value(nullptr);
  return o;
}

// What a form uploads.
struct Upload {
  FileRow row;
  std::string_view bytes;
  std::optional<std::int64_t> life;          // seconds
};

Result<Upload> read_upload(std::string_view body, std::string_view content_type) {
  const auto wrong = [](std::string_view field, std::string message) { return fail(ErrorCode::caller_invalid_request, std::move(message), std::string(field)); };
  if (!llm::is_form(content_type)) return wrong("content-type", "must be multipart/form-data with the fields file and purpose");
  const auto parts = llm::read_form(body, content_type);
  if (!parts) return fail(parts.error());
  Upload up;
  bool file = false, anchor = false;
  for (const auto& p : *parts) {
    if (p.name == "file") {
      if (std::exchange(file, true)) return wrong("file", "is given twice");
      if (!p.file) return wrong("file", "must be sent as a file, with a filename");
      up.row.name = p.filename.empty() ? std::string_view("file") : p.filename;
      up.bytes = p.value;
    } else if (p.name == "purpose") {
      up.row.purpose = p.value;
    } else if (p.name == "expires_after[anchor]") {
      if (p.value != "created_at") return wrong(p.name, "must be created_at");
      anchor = true;
    } else if (p.name == "expires_after[seconds]") {
      up.life = parse_int<std::int64_t>(p.value);
      if (!up.life || *up.life < kShortestLife || *up.life > kLongestLife) return wrong(p.name, fmt::format("must be from {} to {}", kShortestLife, kLongestLife));
    } else {
      return wrong(utf8_prefix(p.name, 100), "is not known; there are file, purpose, expires_after[anchor] and expires_after[seconds]");
    }
  }
  if (!file) return wrong("file", "is required");
  if (up.row.purpose != "batch") return wrong("purpose", "must be batch");
  if (anchor != up.life.has_value()) return wrong("expires_after", "needs both anchor and seconds");
  if (up.row.name.size() > kMostName || !is_utf8(up.row.name) || up.row.name.find('\0') != std::string::npos)
    return wrong("file", fmt::format("its name must be at most {} bytes of UTF-8", kMostName));
  return up;
}

// Piece by piece: nobody waits long for the database behind a large file.
Task<Result<void>> store_file(store::Database& database, net::Exchange& exchange, const FileRow& row, std::string_view bytes) {
  auto begun = co_await database.write(exchange.loop(), [&](store::Tx& tx) { return work::begin_file(tx, row); });
  if (!begun) co_return begun;
  for (std::size_t n = 0, at = 0; at < bytes.size(); n += kPiecesAtOnce) {
    std::vector<std::string> packed;
    for (; packed.size() < kPiecesAtOnce && at < bytes.size(); at += work::kFilePiece) packed.push_back(pack(bytes.substr(at, work::kFilePiece)));
    auto put = co_await database.write(exchange.loop(), [&](store::Tx& tx) { return work::put_pieces(tx, row.id, n, packed); });
    if (!put) co_return put;
  }
  auto whole = co_await database.write(exchange.loop(), [&](store::Tx& tx) { return work::finish_file(tx, row.id, bytes.size()); });
  co_return whole;
}

Task<void> upload(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  auto up = read_upload(exchange.body(), exchange.request().headers.get("content-type"));
  if (!up) co_return co_await reply_openai_error(exchange, up.error());
  if (up->bytes.size() > door.most_file_bytes())
    co_return co_await reply_openai_error(exchange, Error{ErrorCode::caller_too_large, fmt::format("the file is larger than {} MB", door.most_file_bytes() >> 20), "file"});
  FileRow& row = up->row;
  row.owner = who.key_id();
  row.bytes = up->bytes.size();
  row.id = co_await door.ask(exchange, [&]() -> Task<JobId> { co_return door.engine().new_id(); });
  row.created = door.engine().home().clock().wall();
  if (up->life) row.expires = row.created + std::chrono::seconds(*up->life);
  const auto stored = co_await store_file(door.engine().database(), exchange, row, up->bytes);
  if (!stored) co_return co_await reply_openai_error(exchange, stored.error());
  log::info("file_uploaded", {{"file", work::file_id(row.id)}, {"bytes", row.bytes}, {"by", who.key_id()}});
  co_await reply_json(exchange, 200, file_json(row));
}

Task<void> list(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  const auto& request = exchange.request();
  work::FileFilter filter{.owner = who.key_id(), .purpose = query(request, "purpose"), .after = {}, .ascending = query(request, "order") == "asc", .limit = kMostListed};
  const auto limit = query_count(request, "limit", filter.limit, 1, kMostListed);
  if (!limit) co_return co_await reply_openai_error(exchange, limit.error());
  filter.limit = *limit;
  if (const std::string after = query(request, "after"); !after.empty()) {
    const auto id = work::parse_file_id(after);
    if (!id) co_return co_await reply_openai_error(exchange, Error{ErrorCode::caller_invalid_request, "must be a file's id", "after"});
    filter.after = *id;
  }
  const std::size_t wanted = filter.limit++;
  auto files = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::list_files(tx, filter); });
  if (!files) co_return co_await reply_openai_error(exchange, files.error());
  const bool more = files->size() > wanted;
  if (more) files->pop_back();
  json::array data;
  for (const FileRow& f : *files) data.push_back(file_json(f));
  co_await reply_openai_list(exchange, std::move(data), more);
}

Task<void> content(WorkDoor& door, net::Exchange& exchange, const FileRow& file) {
  const auto begun = co_await exchange.start_stream(200, {{"content-type", "application/octet-stream"}, {"cache-control", "no-store"}, {"x-content-type-options", "nosniff"}});
  if (!begun) co_return;
  for (std::size_t n = 0;; n += kPiecesAtOnce) {
    const auto bytes = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::read_pieces(tx, file.id, n, kPiecesAtOnce); });
    if (!bytes) co_return exchange.abort();
    if (bytes->empty()) break;
    const auto sent = co_await exchange.write(*bytes);
    if (!sent) co_return;
  }
  const auto ended = co_await exchange.finish();
  (void)ended;                               // a reader that left wants nothing
}

Task<void> remove(WorkDoor& door, net::Exchange& exchange, const FileRow& file) {
  const auto gone = co_await door.engine().database().write(exchange.loop(), [&](store::Tx& tx) { return work::delete_file(tx, file.id); });
  if (!gone) co_return co_await reply_openai_error(exchange, gone.error());
  co_await reply_json(exchange, 200, json::object{{"id", work::file_id(file.id)}, {"object", "file"}, {"deleted", true}});
}

// FILE or FILE/content.
Task<bool> one_file(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, std::string_view rest) {
  const std::string_view method = exchange.request().method;
  const auto slash = rest.find('/');
  const std::string_view name = rest.substr(0, slash), action = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  const bool whole = action.empty() && slash == std::string_view::npos;
  const bool known = (whole && (method == "GET" || method == "DELETE")) || (action == "content" && method == "GET");
  if (!known) co_return false;
  const auto id = work::parse_file_id(name);
  Result<std::optional<FileRow>> file = std::optional<FileRow>{};
  if (id) {
    auto found = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::get_file(tx, *id); });
    file = std::move(found);
  }
  if (!file) co_await reply_openai_error(exchange, file.error());
  else if (!*file || (*file)->owner != who.key_id()) co_await reply_openai_error(exchange, no_such_file(name));
  else if (action == "content") co_await content(door, exchange, **file);
  else if (method == "DELETE") co_await remove(door, exchange, **file);
  else co_await reply_json(exchange, 200, file_json(**file));
  co_return true;
}

}  // namespace

Task<bool> files_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  const bool all = request.path == kFilesPath;
  if (!all && !request.path.starts_with("/v1/files/")) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  WorkDoor& door = *parts.work;
  bool known = true;
  if (!who) co_await reply_openai_error(exchange, who.error());
  else if (all && request.method == "POST") co_await upload(door, exchange, *who);
  else if (all && request.method == "GET") co_await list(door, exchange, *who);
  else if (!all) known = co_await one_file(door, exchange, *who, request.path.substr(kFilesPath.size() + 1));
  else known = false;
  co_return known;
}

}  // namespace ballast::server
