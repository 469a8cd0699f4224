#include <fstream>
#include <iterator>

#include "app/backup.hpp"
#include "base/hash.hpp"

namespace ballast::app {

namespace {

constexpr int kForm = 1;
namespace fs = std::filesystem;

Error not_a_backup(std::string why) { return Error{ErrorCode::caller_invalid_request, std::move(why), "--from", false, {}, {}, {}, {}}; }

bool stays_inside(const fs::path& path) {
  if (path.empty() || path.is_absolute() || path != path.lexically_normal()) return false;
  return *path.begin() == "database" || *path.begin() == "data";
}

Result<void> read_lists(const JsonRef& body, BackupManifest& m) {
  const auto schema = body.at("schema"), tables = body.at("tables"), files = body.at("files");
  for (const auto* list : {&schema, &tables, &files})
    if (!*list) return fail(list->error());
  for (std::size_t i = 0; i < schema->size(); ++i) {
    const auto module = schema->item(i).get<std::string>("module"), checksum = schema->item(i).get<std::string>("checksum");
    const auto version = schema->item(i).get<std::int64_t>("version");
    if (!module || !checksum || !version) return schema->error("must be a list of {module, version, checksum}");
    m.schema.push_back({*module, *checksum, *version});
  }
  for (std::size_t i = 0; i < tables->size(); ++i) {
    const auto name = tables->item(i).get<std::string>("name");
    const auto rows = tables->item(i).get<std::int64_t>("rows");
    const auto columns = tables->item(i).at("columns");
    if (!name || !rows || !columns) return tables->error("must be a list of {name, rows, columns}");
    store::TableCopy table{*name, {}, *rows};
    for (std::size_t c = 0; c < columns->size(); ++c) {
      const auto column = columns->item(c).as<std::string>();
      if (!column) return fail(column.error());
      table.columns.push_back(*column);
    }
    m.tables.push_back(std::move(table));
  }
  for (std::size_t i = 0; i < files->size(); ++i) {
    const auto path = files->item(i).get<std::string>("path"), sha = files->item(i).get<std::string>("sha256");
    const auto bytes = files->item(i).get<std::int64_t>("bytes");
    if (!path || !sha || !bytes) return files->error("must be a list of {path, bytes, sha256}");
    if (!stays_inside(*path)) return files->item(i).error("path leads out of the backup");
    m.files.push_back({*path, static_cast<std::uint64_t>(*bytes), *sha});
  }
  return {};
}

}  // namespace

json::object manifest_json(const BackupManifest& m) {
  json::array schema, tables, files;
  for (const auto& s : m.schema) schema.push_back(json::object{{"module", s.module}, {"version", s.version}, {"checksum", s.checksum}});
  for (const auto& t : m.tables) tables.push_back(json::object{{"name", t.name}, {"rows", t.rows}, {"columns", json::value_from(t.columns)}});
  for (const auto& f : m.files) files.push_back(json::object{{"path", f.path}, {"bytes", f.bytes}, {"sha256", f.sha256}});
  return {{"ballast_backup", kForm}, {"version", m.version}, {"made", m.made}, {"database", m.database}, {"schema", std::move(schema)},
          {"tables", std::move(tables)}, {"files", std::move(files)}};
}

Result<BackupManifest> read_manifest(const std::string& folder) {
  const fs::path path = fs::path(folder) / "manifest.json";
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(not_a_backup(fmt::format("there is no backup at {} (no manifest.json)", folder)));
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const auto document = parse_json(text, {.max_bytes = text.size() + 1, .max_depth = 8});
  if (!document) return fail(not_a_backup(fmt::format("{} is damaged: {}", path.string(), document.error().message)));
  const JsonRef body(*document);
  const auto form = body.get<std::int64_t>("ballast_backup");
  if (!form) return fail(not_a_backup(fmt::format("{} is not the manifest of a backup", path.string())));
  if (*form != kForm) return fail(not_a_backup(fmt::format("the backup has form {}, this program knows {}: it was made by a newer Ballast", *form, kForm)));
  BackupManifest m;
  const auto version = body.get<std::string>("version"), made = body.get<std::string>("made"), database = body.get<std::string>("database");
  if (!version || !made || !database) return fail(not_a_backup(fmt::format("{} lacks version, made or database", path.string())));
  m.version = *version;
  m.database = *database;
  m.made = *made;
  if (auto lists = read_lists(body, m); !lists) return fail(not_a_backup(fmt::format("{}: {}", path.string(), describe(lists.error()))));
  m.sha256 = to_hex(sha256(text));
  return m;
}

}  // namespace ballast::app
